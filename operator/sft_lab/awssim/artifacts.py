"""What a finished Nova training job leaves in S3: output.tar.gz, as bytes."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tarfile

from sft_lab.awssim import progress
from sft_lab.awssim.job import Job


def escrow_uri(job: Job) -> str:
    """Where the checkpoint lies: a bucket that belongs to the service, one for each account."""
    bucket_id = hashlib.sha256(job.account.encode()).hexdigest()[:8]
    return f"s3://customer-escrow-{job.account}-smtj-{bucket_id}/{job.name}/{job.plan.steps}"


def output_tar(job: Job) -> bytes:
    """A tar.gz of manifest.json and step_wise_training_metrics.csv; the same bytes for the same job."""
    members = {"step_wise_training_metrics.csv": _metrics(job)}
    if job.script.checkpoint:
        members["manifest.json"] = json.dumps({"checkpoint_s3_bucket": escrow_uri(job)}).encode()
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=int(job.created)) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, content in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), int(job.created)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _metrics(job: Job) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["step_number", "epoch_number", "training_loss"])
    for step in range(job.script.log_every, job.plan.steps + 1, job.script.log_every):
        rows.writerow([step, 0, f"{progress.loss(job.name, job.plan, job.script, step):.4f}"])
    return text.getvalue().encode()
