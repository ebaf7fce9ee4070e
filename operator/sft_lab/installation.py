"""The operator as a user would install it, in a lab: the chart's objects through helm, and the process itself as the
chart's ServiceAccount. What is then done with it is elsewhere."""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sft_lab.cluster.lab import Lab
from sft_lab.processes import Program, wait_until

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "sft-system"
RELEASE = "sft-operator"
_PORT = re.compile(r"probes and metrics on port (\d+)")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

QUICK: Mapping[str, str] = {
    # a simulated job takes seconds, so everything that waits for minutes is told to wait for less
    "SFT_SWEEP_INTERVAL": "1",
    "SFT_LOG_INTERVAL": "1",
    "SFT_PROGRESS_INTERVAL": "1",
    "SFT_LIST_RATE": "5",
    "SFT_DESCRIBE_RATE": "20",
    "SFT_CREATE_RATE": "10",
}


def install_chart(lab: Lab, *flags: str) -> None:
    """CRDs, ServiceAccount and RBAC by `helm template` with these flags besides; what belongs to pods stays out, because
    nothing here runs any."""
    if lab.kubectl("get", "namespace", NAMESPACE, check=False).returncode != 0:
        lab.kubectl("create", "namespace", NAMESPACE)
    manifests = lab.helm(
        "template", RELEASE, str(ROOT / "charts" / "sft-operator"), "--namespace", NAMESPACE,
        "--set", f"identityScope={lab.env['SFT_IDENTITY_SCOPE']}", "--set", "region=us-east-1",
        "--set", "networkPolicy.enabled=false,podDisruptionBudget.enabled=false,metrics.service=false", *flags,
    ).stdout  # fmt: skip
    kept = "\n---\n".join(part for part in manifests.split("\n---\n") if "\nkind: Deployment\n" not in part)
    lab.kubectl("apply", "--server-side", "-f", "-", input=kept)
    crds = ("crd/sftjobs.sft-operator.dev", "crd/sftprofiles.sft-operator.dev")
    lab.kubectl("wait", "--for=condition=Established", *crds, "--timeout=20s")


@dataclass
class Operator:
    """The operator's process in a lab; recorded with the lab, so that `sft-lab down` ends it too."""

    lab: Lab
    program: Program

    @property
    def port(self) -> int:
        """Of the probes. Raises when the process has not told it yet."""
        found = _PORT.findall(self.program.log.read_text(errors="replace"))
        if not found:
            raise RuntimeError(f"the operator has not told its port yet:\n{self.program.log_tail()}")
        return int(found[-1])

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the probe server; status 0 without an answer."""
        try:
            with _OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, RuntimeError):
            return 0, ""

    def wait_ready(self, seconds: float = 30) -> None:
        def ready() -> bool:
            if self.program.pid() is None:
                raise RuntimeError(f"the operator has ended:\n{self.program.log_tail(30)}")
            return self.get("/readyz")[0] == 200

        wait_until(ready, seconds, f"the operator is not ready:\n{self.program.log_tail(30)}")


def start_operator(lab: Lab, *, name: str = "operator", settings: Mapping[str, str] = QUICK) -> Operator:
    """Starts `python -m sft_operator` with the chart's ServiceAccount's token; returns before it is ready."""
    config = lab.kubeconfig_of(NAMESPACE, RELEASE)
    environ = {
        **lab.env,
        "KUBECONFIG": str(config),
        "SFT_HTTP_HOST": "127.0.0.1",
        "SFT_HTTP_PORT": "0",
        # one process is all there is: after a kill the next one need not wait for a lease to run out
        "SFT_LEADERSHIP": "Alone",
        "SFT_LEASE_NAMESPACE": NAMESPACE,
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
    log = lab.layout.logs / f"{name}.log"
    log.unlink(missing_ok=True)
    program = Program(name, lab.layout.run, (sys.executable, "-m", "sft_operator"), environ, log)
    program.start()
    return Operator(lab, program)
