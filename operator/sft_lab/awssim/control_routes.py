"""The endpoints under /_sim/: what a test or a demonstration asks of the simulation itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from sft_lab.awssim import lifecycle, progress
from sft_lab.awssim.describe import trained_seconds
from sft_lab.awssim.job import Job
from sft_lab.awssim.simulation import RESETTABLE, Simulation


async def respond(simulation: Simulation, method: str, target: str, body: bytes) -> web.Response:
    """Answers in JSON; 400 with `error` says what was wrong with the request."""
    path, _, query = target.partition("?")
    try:
        document = json.loads(body) if body else {}
        arguments = {key: values[0] for key, values in parse_qs(query).items()}
        answer = _route(simulation, method, path.removeprefix("/_sim/").rstrip("/"), document, arguments)
    except (ValueError, TypeError, KeyError) as error:
        return web.json_response({"error": str(error)}, status=400)
    if answer is None:
        return web.json_response({"error": f"no such endpoint: {method} {path}"}, status=404)
    return web.json_response(answer)


def _route(simulation: Simulation, method: str, what: str, document: dict[str, Any], arguments: dict[str, str]) -> Any:
    match method, what:
        case "GET", "health":
            return {"status": "ok"}
        case "GET", "calls":
            since = int(arguments.pop("since", "0"))
            unknown = arguments.keys() - {"service", "operation", "name", "caller"}
            if unknown:
                raise ValueError(f"unknown filter {', '.join(sorted(unknown))}")
            return simulation.journal.find(since=since, **arguments)
        case "GET", "scripts":
            return [asdict(script) for script in simulation.scripts.all()]
        case "POST", "scripts":
            return asdict(simulation.scripts.add(document))
        case "DELETE", "scripts":
            simulation.scripts.clear()
            return {}
        case "GET", "faults":
            return simulation.faults.all()
        case "POST", "faults":
            return simulation.faults.add(document).as_json()
        case "DELETE", "faults":
            simulation.faults.clear()
            return {}
        case "GET", "clock":
            return _clock(simulation)
        case "POST", "clock":
            unknown = document.keys() - {"advance", "speed"}
            if unknown or not document:
                raise ValueError('the clock takes {"advance": seconds} or {"speed": factor}')
            if "advance" in document:
                simulation.clock.advance(float(document["advance"]))
            if "speed" in document:
                simulation.clock.set_speed(float(document["speed"]))
            simulation.effects.clock_moved()
            return _clock(simulation)
        case "GET", "quotas":
            return simulation.jobs.quotas
        case "POST", "quotas":
            simulation.jobs.quotas.update({str(kind): int(limit) for kind, limit in document.items()})
            return simulation.jobs.quotas
        case "DELETE", "quotas":
            simulation.jobs.quotas.clear()
            return {}
        case "GET", "jobs":
            now = simulation.clock.now()
            return [_job(job, now) for job in simulation.jobs.all()]
        case "POST", "reset":
            simulation.reset(tuple(document.get("parts", RESETTABLE)))
            return {}
        case _:
            return None


def _clock(simulation: Simulation) -> dict[str, float]:
    return {"now": simulation.clock.now(), "speed": simulation.clock.speed}


def _job(job: Job, now: float) -> dict[str, Any]:
    span = job.span(now)
    return {
        "name": job.name,
        "arn": job.arn,
        "account": job.account,
        "region": job.region,
        "status": lifecycle.primary(span.status),
        "secondary_status": span.status,
        "created": job.created,
        "since": span.start,
        "stop_requested": job.stopped,
        "ends": job.life[-1].start,
        "step": progress.steps_done(job.plan, job.script, trained_seconds(job, now)),
        "steps": job.plan.steps,
        "tags": job.tags,
    }
