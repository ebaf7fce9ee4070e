"""What DescribeTrainingJob and ListTrainingJobs say about a job at a moment, AWS's own defaults filled in."""

from __future__ import annotations

import re
from typing import Any

from sft_lab.awssim import lifecycle, progress
from sft_lab.awssim.job import DEFAULT_MAX_RUNTIME, Job, output_prefix

_UP = frozenset({"Downloading", "Training", "Uploading", "Restarting", "Stopping"})
FAILURE_REASON_LENGTH = 1024


def describe(job: Job, now: float) -> dict[str, Any]:
    """The members of DescribeTrainingJobResponse; times in seconds since the epoch."""
    index = lifecycle.at(job.life, now)
    span = job.life[index]
    request = job.request  # without Tags: those are read with ListTags
    answer = request | _defaults(request)
    answer |= {
        "TrainingJobArn": job.arn,
        "TrainingJobStatus": lifecycle.primary(span.status),
        "SecondaryStatus": span.status,
        "CreationTime": job.created,
        "LastModifiedTime": span.start,
        "SecondaryStatusTransitions": [_transition(job, s, now) for s in job.life[: index + 1]],
    }
    began = next((s.start for s in job.life if s.status == "Downloading"), None)
    if began is not None and began <= now:
        answer["TrainingStartTime"] = began
    ended = span.status in lifecycle.TERMINAL
    if job.script.model_artifacts:
        # Required by the model, with nothing to say before the end.
        answer["ModelArtifacts"] = {
            "S3ModelArtifacts": _model_path(job, request) if ended and _kept(span.status) else ""
        }
    if ended:
        answer["TrainingEndTime"] = span.start
        answer |= _bill(job, request, span.start)
        metrics = _final_metrics(job, request, span.start)
        if metrics:
            answer["FinalMetricDataList"] = metrics
    if span.status == "Failed":
        answer["FailureReason"] = job.script.failure_reason[:FAILURE_REASON_LENGTH]
    if job.serverless:
        answer |= _serverless(job, request, span.status, now)
    return answer


def summary(job: Job, now: float) -> dict[str, Any]:
    """The members of TrainingJobSummary."""
    span = job.span(now)
    answer: dict[str, Any] = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "CreationTime": job.created,
        "LastModifiedTime": span.start,
        "TrainingJobStatus": lifecycle.primary(span.status),
        "SecondaryStatus": span.status,
    }
    if span.status in lifecycle.TERMINAL:
        answer["TrainingEndTime"] = span.start
    return answer


def _transition(job: Job, span: lifecycle.Span, now: float) -> dict[str, Any]:
    message = job.script.failure_reason if span.status == "Failed" else lifecycle.MESSAGES[span.status]
    shown: dict[str, Any] = {"Status": span.status, "StartTime": span.start, "StatusMessage": message}
    if span.status in lifecycle.TERMINAL:
        shown["EndTime"] = span.start
    elif span.end <= now:
        shown["EndTime"] = span.end
    return shown


def _defaults(request: dict[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP"} | request["OutputDataConfig"],
        "StoppingCondition": {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME} | request.get("StoppingCondition", {}),
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "EnableInterContainerTrafficEncryption": request.get("EnableInterContainerTrafficEncryption", False),
        "EnableManagedSpotTraining": request.get("EnableManagedSpotTraining", False),
    }
    if "AlgorithmSpecification" in request:
        filled["AlgorithmSpecification"] = {"EnableSageMakerMetricsTimeSeries": False} | request[
            "AlgorithmSpecification"
        ]
    if "InputDataConfig" in request:
        filled["InputDataConfig"] = [
            {"CompressionType": "None", "RecordWrapperType": "None"} | channel for channel in request["InputDataConfig"]
        ]
    profiler = request.get("ProfilerConfig")
    if profiler is not None:
        filled["ProfilingStatus"] = "Disabled" if profiler.get("DisableProfiler") else "Enabled"
    return filled


def _kept(status: str) -> bool:
    """Whether a job that ended so has model artifacts: SageMaker uploads them on a stop and at the time limit too."""
    return status != "Failed"


def _model_path(job: Job, request: dict[str, Any]) -> str:
    if job.serverless or request["OutputDataConfig"].get("CompressionType") == "NONE":
        return f"{output_prefix(request)}/output/model/"
    return f"{output_prefix(request)}/output/model.tar.gz"


def _bill(job: Job, request: dict[str, Any], end: float) -> dict[str, int]:
    trained = round(lifecycle.seconds_in(job.life, _UP, end))
    if not any(s.status == "Downloading" and s.start < end for s in job.life):
        return {}
    saved = job.script.spot_saving if request.get("EnableManagedSpotTraining") else 0.0
    return {"TrainingTimeInSeconds": trained, "BillableTimeInSeconds": round(trained * (1 - saved))}


def trained_seconds(job: Job, now: float) -> float:
    return lifecycle.seconds_in(job.life, frozenset({"Training"}), now)


def _final_metrics(job: Job, request: dict[str, Any], end: float) -> list[dict[str, Any]]:
    """The last value that each of the job's MetricDefinitions finds in its progress lines."""
    definitions = request.get("AlgorithmSpecification", {}).get("MetricDefinitions", ())
    done = progress.steps_done(job.plan, job.script, trained_seconds(job, end))
    if not definitions or not done:
        return []
    back = max(job.plan.validation_every, job.script.log_every)
    written = [text for _, text in progress.lines(job.name, job.plan, job.script, done - back, done)]
    found = []
    for definition in definitions:
        for text in reversed(written):
            match = re.search(definition["Regex"], text)
            if match and match.groups():
                found.append({"MetricName": definition["Name"], "Value": float(match[1]), "Timestamp": end})
                break
    return found


def _serverless(job: Job, request: dict[str, Any], status: str, now: float) -> dict[str, Any]:
    done = progress.steps_done(job.plan, job.script, trained_seconds(job, now))
    shown: dict[str, Any] = {
        "ProgressInfo": {
            "TotalStepCountPerEpoch": job.plan.steps,
            "CurrentStep": done,
            "CurrentEpoch": 0,
            "MaxEpoch": 1,
        }
    }
    package = request.get("ModelPackageConfig", {}).get("ModelPackageGroupArn")
    if status == "Completed":
        shown["BillableTokenCount"] = done * job.plan.batch * 1024
        if package:
            shown["OutputModelPackageArn"] = package.replace(":model-package-group/", ":model-package/") + "/1"
    return shown
