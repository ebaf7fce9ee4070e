"""Prometheus metrics; labels are bounded by phases, operations and error codes, and name no tenant unless that is asked for."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily

from .store import Store


class Metrics:
    """One registry of our own, so that several operators fit into one process."""

    def __init__(
        self,
        store: Store,
        queue_depth: Callable[[], int],
        sweep_age: Callable[[], float | None],
        leads: Callable[[], bool] = lambda: True,
        *,
        namespaces: bool = False,
    ) -> None:
        """`namespaces` adds them as a label of sft_jobs."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series of time stamps beside each counter
        self.registry = CollectorRegistry()
        self._store, self._queue_depth, self._sweep_age, self._leads = store, queue_depth, sweep_age, leads
        self._namespaces = namespaces
        self.reconcile_seconds = Histogram(
            "sft_reconcile_seconds", "Time of one pass over one job.", registry=self.registry
        )
        self.reconcile_errors = Counter(
            "sft_reconcile_errors", "Passes that ended in an error nobody expected.", registry=self.registry
        )
        self.writes = Counter(
            "sft_kubernetes_writes",
            "Writes to the API server: state, progress (coalesced), finalizer, event.",
            ["kind"],
            registry=self.registry,
        )
        self.aws_calls = Counter(
            "sft_aws_calls", "AWS calls by operation and error code.", ["service", "operation", "code"],
            registry=self.registry,
        )  # fmt: skip
        self.aws_seconds = Histogram(
            "sft_aws_call_seconds", "Time of one AWS call.", ["service", "operation"], registry=self.registry
        )
        self.registry.register(_Live(self))

    def aws_call(self, service: str, operation: str, code: str, seconds: float) -> None:
        """`code` is the error code, empty for success."""
        self.aws_calls.labels(service, operation, code or "OK").inc()
        self.aws_seconds.labels(service, operation).observe(seconds)

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def gauges(self) -> Iterator[GaugeMetricFamily]:
        names = ["namespace", "phase"] if self._namespaces else ["phase"]
        jobs, counts = GaugeMetricFamily("sft_jobs", "SFTJobs by phase.", labels=names), Counts[tuple[str, ...]]()
        for place, count in self._store.phases().items():
            counts[place[-len(names) :]] += count
        for labels, count in counts.items():
            jobs.add_metric(labels, count)
        yield jobs
        yield GaugeMetricFamily("sft_queue_depth", "Jobs that wait for a worker.", value=self._queue_depth())
        yield GaugeMetricFamily("sft_leader", "1 where this process acts, 0 where it stands by.", value=self._leads())
        age = self._sweep_age()
        if age is not None:
            yield GaugeMetricFamily("sft_sweep_age_seconds", "Time since the last good sweep.", value=age)


class _Live:
    """Gauges that are read when they are asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Any]:
        return self._metrics.gauges()
