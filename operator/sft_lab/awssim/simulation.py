"""One simulated AWS as an object: clock, scripts, jobs, faults, journal, moto and their wiring; no HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sft_lab.awssim import codec, joblog
from sft_lab.awssim.bridge import Moto, MotoStorage
from sft_lab.awssim.clock import Clock
from sft_lab.awssim.effects import Effects
from sft_lab.awssim.errors import AWSError, validation
from sft_lab.awssim.faults import Faults
from sft_lab.awssim.journal import Journal
from sft_lab.awssim.request import Asked
from sft_lab.awssim.script import Scripts
from sft_lab.awssim.training import Caller, TrainingJobs

DEFAULT_ACCOUNT = "111122223333"
# The services that moto answers for here.
PASSED_ON = frozenset({"s3", "sqs", "events", "sts", "iam", "logs", "cloudwatch", "kms"})
RESETTABLE = ("jobs", "journal", "scripts", "faults", "clock", "moto")

_Operation = Callable[[TrainingJobs, dict[str, Any], Caller], dict[str, Any]]
SAGEMAKER: dict[str, _Operation] = {
    "CreateTrainingJob": TrainingJobs.create,
    "DescribeTrainingJob": TrainingJobs.describe,
    "ListTrainingJobs": TrainingJobs.list,
    "StopTrainingJob": TrainingJobs.stop,
    "DeleteTrainingJob": TrainingJobs.delete,
    "AddTags": TrainingJobs.add_tags,
    "ListTags": TrainingJobs.list_tags,
    "DeleteTags": TrainingJobs.delete_tags,
}


class Simulation:
    """Everything but the network. `start` and `close` bracket its one thread."""

    def __init__(self, pace: str = "demo", account: str = DEFAULT_ACCOUNT) -> None:
        self.account = account
        self.clock = Clock()
        self.scripts = Scripts(pace)
        self.faults = Faults()
        self.journal = Journal()
        self.moto = Moto()
        storage = MotoStorage(self.moto)
        self.effects = Effects(self.clock, self.moto, storage)
        self.jobs = TrainingJobs(self.clock, self.scripts, storage, changed=self.effects.schedule)
        self._accounts: dict[str, str] = {}

    def start(self) -> None:
        self.effects.start()

    def close(self) -> None:
        self.effects.close()

    def account_of(self, access_key: str) -> str:
        """The account of a key that is not an account id: that of an assumed role or a user, else the default."""
        known = self._accounts.get(access_key)
        if known is None:
            known = self.moto.account_of(access_key)
            if known is None:
                return self.account
            self._accounts[access_key] = known
        return known

    def sagemaker(self, asked: Asked, body: bytes) -> dict[str, Any]:
        """Answer of a SageMaker operation in the model's JSON. Raises AWSError, for every unknown operation too."""
        model = codec.operation("sagemaker", asked.operation)
        if model is None:
            raise AWSError("UnknownOperationException", f"SageMaker has no operation {asked.operation}")
        perform = SAGEMAKER.get(asked.operation)
        if perform is None:
            raise validation(f"{asked.operation} is not simulated; simulated are {', '.join(SAGEMAKER)}")
        request = codec.parse_json(model.input_shape, body)
        answer = perform(self.jobs, request, Caller(asked.account, asked.region, asked.access_key))
        return dict(codec.wire(model.output_shape, answer)) if model.output_shape is not None else {}

    def before_passing_on(self, asked: Asked, body: bytes) -> None:
        """What the simulated services have caused by now must be there when moto is asked."""
        self.effects.catch_up()
        if asked.service == "s3" and "Bucket" in asked.parameters:
            shown = asked.parameters
            self.effects.deliver(shown["Bucket"], shown.get("Key"), shown.get("Prefix", ""))
        if asked.service == "logs":
            self.effects.write_logs(asked.account, asked.region, _streams(body))

    def reset(self, parts: tuple[str, ...] = RESETTABLE) -> None:
        """Forgets these parts; raises ValueError for a part that does not exist."""
        unknown = sorted(set(parts) - set(RESETTABLE))
        if unknown:
            raise ValueError(f"unknown part {', '.join(unknown)}; parts are {', '.join(RESETTABLE)}")
        for part in parts:
            if part == "jobs":
                self.jobs.reset()
                self.effects.reset()
            elif part == "journal":
                self.journal.clear()
            elif part == "scripts":
                self.scripts.clear()
            elif part == "faults":
                self.faults.clear()
            elif part == "clock":
                self.clock.reset()
                self.effects.clock_moved()
            else:
                self.moto.reset()
                self._accounts.clear()


def _streams(body: bytes) -> list[str]:
    """The log streams, or starts of names of streams, of training jobs that a request of Logs is about."""
    try:
        query = json.loads(body or b"{}")
    except ValueError:
        return []
    if not isinstance(query, dict) or query.get("logGroupName", joblog.GROUP) != joblog.GROUP:
        return []
    names = query.get("logStreamNames") or [query.get("logStreamName") or query.get("logStreamNamePrefix") or ""]
    return [str(name) for name in names]
