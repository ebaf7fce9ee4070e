"""Runs inside the SDK's own venv: what SageMaker Python SDK v2 sends for training jobs, as JSON; nothing is judged here.

Standard input: a JSON list of {case, recipe_name, recipe (YAML text), ...the other arguments of `send`}.
Standard output: {sdk, refused, calls, jobs: {case: {request, recipe, recipe_uri}}}. `request` is the body of
CreateTrainingJob as it left, `recipe` the text that was uploaded to `recipe_uri`, `calls` every AWS operation of all
jobs in order, `refused` every try to reach a network or start a program.
"""

import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Only the answer may go to standard output, whatever the SDK prints.
ANSWER = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

REFUSED: list[str] = []
LEADS_OUT = {
    "socket.connect",
    "socket.sendto",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen",
    "os.system",
    "os.posix_spawn",
    "os.fork",
    "os.exec",
}


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """AWS calls are answered before any socket is opened, so a socket or a program is something nobody asked for."""
    if event in LEADS_OUT:
        what = f"{event} {arguments!r}"
        REFUSED.append(what)
        raise PermissionError(f"nothing may leave this process: {what}")


sys.addaudithook(refuse)

import boto3  # noqa: E402
from botocore.awsrequest import AWSPreparedRequest, AWSResponse  # noqa: E402
from sagemaker import Session, __version__  # noqa: E402
from sagemaker.inputs import TrainingInput  # noqa: E402
from sagemaker.pytorch import PyTorch  # noqa: E402
from sagemaker.telemetry import telemetry_logging  # noqa: E402

# The documented way out is an SDK config file, and with one the SDK checks that file 20 times per job (5 s, measured).
# Should another version send it in another way, the audit hook refuses it and `refused` tells.
telemetry_logging._send_telemetry_request = lambda *_, **__: None

REGION = "us-east-1"


class Raw(io.BytesIO):
    """The body of an answer, as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


ANSWERS = {
    "s3.ListBuckets": b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>",
    "s3.HeadBucket": b"",
    "s3.PutObject": b"",
    "sts.GetCallerIdentity": (
        b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account>"
        b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
    ),
    "sagemaker.CreateTrainingJob": b'{"TrainingJobArn": "arn:aws:sagemaker:us-east-1:111122223333:training-job/oracle"}',
}


class Recorder:
    """Takes the place of HTTP below a boto3 session: keeps every request, gives canned answers."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: dict[str, tuple[str, str]] = {}
        """Operation to URL and body of the last request."""

    def session(self) -> boto3.Session:
        session = boto3.Session(region_name=REGION)
        session.events.register("before-send", self.answer)
        return session

    def answer(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
        operation = event_name.removeprefix("before-send.")
        body = request.body.read() if hasattr(request.body, "read") else request.body or ""
        self.calls.append(operation)
        self.sent[operation] = (request.url, body.decode() if isinstance(body, bytes) else body)
        if operation in ANSWERS:
            return AWSResponse(request.url, 200, {}, Raw(ANSWERS[operation]))
        unknown = {"__type": "NotImplemented", "message": f"the oracle has no answer for {operation}"}
        return AWSResponse(request.url, 400, {}, Raw(json.dumps(unknown).encode()))


def send(
    folder: Path,
    recorder: Recorder,
    sagemaker_session: Session,
    *,
    recipe_name: str,
    recipe: str,
    output_path: str,
    sm_training_job_name: str,
    role: str,
    instance_count: int,
    instance_type: str,
    recipe_overrides: dict[str, Any],
    image_uri: str,
    model_name_or_path: str,
    train_dataset_s3_path: str,
    val_dataset_s3_path: str,
) -> dict[str, Any]:
    """One training job, launched as a user of the SDK launches it. The recipe is a local file: by name the SDK runs git."""
    training_recipe = str(folder / f"{recipe_name}.yaml")
    Path(training_recipe).write_text(recipe)
    estimator = PyTorch(
        output_path=output_path,
        base_job_name=sm_training_job_name,
        role=role,
        disable_profiler=True,
        debugger_hook_config=False,
        instance_count=instance_count,
        instance_type=instance_type,
        training_recipe=training_recipe,
        recipe_overrides=recipe_overrides,
        max_run=432000,
        sagemaker_session=sagemaker_session,
        image_uri=image_uri,
        tags=[
            {"Key": "model_name_or_path", "Value": model_name_or_path},
        ],
    )
    train_input = TrainingInput(
        s3_data=train_dataset_s3_path,
        distribution="FullyReplicated",
        s3_data_type="Converse",
    )
    val_input = TrainingInput(
        s3_data=val_dataset_s3_path,
        distribution="FullyReplicated",
        s3_data_type="Converse",
    )
    estimator.fit(inputs={"train": train_input, "validation": val_input}, wait=False)

    _, request = recorder.sent["sagemaker.CreateTrainingJob"]
    url, uploaded = recorder.sent["s3.PutObject"]
    host, _, key = url.removeprefix("https://").partition("/")
    return {
        "request": json.loads(request),
        "recipe": uploaded,
        "recipe_uri": f"s3://{host.partition('.')[0]}/{key}",
    }


def main() -> None:
    recorder = Recorder()
    # One session, as in one notebook: each new one reads botocore's models again, which takes seconds.
    sagemaker_session = Session(boto_session=recorder.session())
    jobs = {}
    for job in json.load(sys.stdin):
        case = job.pop("case")
        with tempfile.TemporaryDirectory() as folder:
            jobs[case] = send(Path(folder), recorder, sagemaker_session, **job)
    json.dump({"sdk": __version__, "refused": REFUSED, "calls": recorder.calls, "jobs": jobs}, ANSWER)
    ANSWER.close()


main()
