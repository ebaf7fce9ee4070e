"""The spec of an SFTJob: what a user may write, with the text that `kubectl explain` shows.

What was really used and what came of it is in status.py; the rules that the API server enforces are in rules.py.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from . import rules
from .base import APIModel, Ruled
from .durations import PATTERN as DURATION_PATTERN
from .free import FreeMap

S3_OBJECT = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s]+$"
S3_PREFIX = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?$"
ROLE_ARN = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[a-zA-Z0-9+=,.@_/-]+$"
REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"

Duration = Annotated[str, Field(max_length=32, json_schema_extra={"pattern": DURATION_PATTERN})]
"""The pattern is for the schema alone: a field's own rule asks it as well, and tells it in words."""

TagValue = Annotated[str, Field(max_length=256, pattern=f"^[{rules.TAG_TEXT}]*$")]
Tags = Annotated[dict[str, TagValue], Field(max_length=40), Ruled(rules.TAG_KEYS)]


class Method(StrEnum):
    LORA = "LoRA"
    FULL = "Full"


class DatasetFormat(StrEnum):
    AUTO = "Auto"
    CONVERSE = "Converse"


class DatasetCheck(StrEnum):
    ENFORCE = "Enforce"
    WARN = "Warn"
    SKIP = "Skip"


class DeletionPolicy(StrEnum):
    STOP = "Stop"
    ORPHAN = "Orphan"


class Model(APIModel):
    """Which model is fine-tuned: exactly one of name and id."""

    one_of = (rules.OneOf("a model", ("name", "id")),)

    name: str | None = Field(
        None,
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="Name in the operator's catalogue: nova-micro, nova-lite, nova-pro or nova-lite-2. An unknown name "
        "is refused with the nearest known ones.",
    )
    id: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        pattern=r"^[^\s]+$",
        description="The provider's own id, verbatim, instead of a name: for Nova its model type "
        "(amazon.nova-2-lite-v1:0:256k) or recipe path (nova-lite-2/prod).",
    )


class TrainingData(APIModel):
    """The rows to train on."""

    uri: str = Field(
        max_length=1024,
        pattern=S3_OBJECT,
        description="S3 object in JSON Lines (.jsonl, also gzip): s3://bucket/key. The bucket must be in the job's "
        "region.",
    )
    format: DatasetFormat = Field(
        DatasetFormat.AUTO,
        description="Shape of a row: Auto (default) takes what the model wants, for Nova Converse "
        "(schemaVersion bedrock-conversation-2024).",
    )


class ValidationData(TrainingData):
    """Rows that are not trained on; loss on them is reported where the recipe evaluates them."""

    name: str = Field(
        "validation",
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        description='Name of this set (default "validation"). On SageMaker one set is taken and its channel is always '
        "called validation.",
    )


class Dataset(APIModel):
    """What the model learns from."""

    train: TrainingData = Field(description="The training rows.")
    validation: list[ValidationData] | None = Field(
        None,
        min_length=1,
        max_length=10,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Held-out rows, at most one set on SageMaker. A set that the recipe would never evaluate is refused "
        "or warned about; see hyperparameters.validationEverySteps.",
    )
    check: DatasetCheck = Field(
        DatasetCheck.ENFORCE,
        description="What the data check before the launch may do. Enforce (default): a wrong row refuses the job with "
        "file and line. Warn: launches in spite of wrong rows, never of unreadable data. Skip: reads nothing at all. "
        "May be changed at any time before the launch.",
    )


class LoRA(APIModel):
    """Settings of low-rank adaptation; refused with method Full."""

    alpha: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Scaling factor of the adapter. Nova: 32, 64, 96, 128, 160 or 192.",
    )
    plus_ratio: float | None = Field(
        None,
        ge=0,
        le=100,
        description="LoRA+ ratio: how much faster the B matrices learn than the A matrices. Nova: 1 to 70 is "
        "recommended, 0 to 100 allowed.",
    )
    dropout: float | None = Field(
        None, ge=0, le=1, description="Dropout inside the adapter, 0 to 1. Nova 1.0 only; Nova 2.0 has no such setting."
    )


class Hyperparameters(APIModel):
    """How the model is trained. What is absent keeps the recipe's own value; status.effective shows the result."""

    one_of = (rules.OneOf("the length of the training", ("epochs", "maxSteps"), required=False),)

    epochs: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Passes over the training rows; not together with maxSteps. Nova 1.0: a whole number from 1. "
        "Nova 2.0 counts steps only: ceil(rows x epochs / globalBatchSize), at least 4, from the counted rows, so the "
        "data check must not be skipped.",
    )
    max_steps: int | None = Field(
        None,
        ge=1,
        le=100000,
        description="Optimizer steps in all; not together with epochs. Nova 2.0: 4 to 100000. Nova 1.0 counts epochs "
        "only and refuses it.",
    )
    validation_every_steps: int | None = Field(
        None,
        ge=1,
        le=100000,
        description="Loss on the validation set is computed every so many steps. Default, with validation data: a tenth "
        "of the steps, at least 1. Nova 1.0 has no such setting and refuses it.",
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="Peak learning rate, a number such as 1e-5. Nova recipes: 1e-5 (LoRA)."
    )
    min_learning_rate: float | None = Field(
        None, gt=0, le=1, description="Learning rate at the end of the schedule, 1e-7 to 1 and below learningRate."
    )
    global_batch_size: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="Rows in one optimizer step, over all instances. Nova 1.0: 16, 32, 64 (Pro: 16, 32); Nova 2.0: 32, "
        "64, 128.",
    )
    max_length: int | None = Field(
        None,
        ge=1,
        le=1048576,
        description="Longest row in tokens. Nova 1.0: a multiple of 1024 up to 65536 (8192 on g5 and g6 instances); "
        "Nova 2.0: 8192, 16384, 32768 or 65536.",
    )
    warmup_steps: int | None = Field(
        None, ge=0, le=100000, description="Steps over which the learning rate rises from 0. Nova: 0 to 100."
    )
    weight_decay: float | None = Field(None, ge=0, le=1, description="L2 regularization strength, 0 to 1.")
    reasoning_enabled: bool | None = Field(
        None,
        description="Nova 2.0 only: train in reasoning mode. True suits data with reasoning content, false data without.",
    )
    lora: LoRA | None = Field(None, description="Settings of the adapter, with method LoRA only.")


class Recipe(APIModel):
    """Which recipe is run, and values that the typed fields do not cover."""

    one_of = (rules.OneOf("the recipe", ("name", "inline"), required=False),)

    name: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        description="Catalogue name: the path of the recipe without .yaml, for example "
        "fine-tuning/nova/nova_2_0/nova_lite/SFT/nova_lite_2_0_p5_gpu_lora_sft. Absent: chosen by model, method and "
        "instance type.",
    )
    inline: FreeMap | None = Field(
        None,
        description="A whole recipe, written here instead of a name; keys and values as the training image wants them.",
    )
    overrides: FreeMap | None = Field(
        None,
        description="Values laid over the recipe last, by its own paths: {training_config: {save_steps: 50}}. Maps "
        "merge, lists and scalars replace. A path that the recipe does not have, that a typed field sets too, or that "
        "the operator must own (model, replicas, data, output, name) is refused.",
    )


class Output(APIModel):
    """Where results go."""

    uri: str | None = Field(
        None,
        max_length=900,
        pattern=S3_PREFIX,
        description="S3 prefix: s3://bucket/prefix/. The run writes below <uri>/<job name>/. Absent: the profile's.",
    )
    kms_key_id: str | None = Field(
        None,
        min_length=1,
        max_length=2048,
        pattern=r"^[A-Za-z0-9:/_-]+$",
        description="KMS key (id, ARN or alias) that encrypts the results and the uploaded recipe; a run that goes on "
        "from this one must use the same key.",
    )


class SageMakerTraining(APIModel):
    """A SageMaker training job on instances of your own choice."""

    instance_type: str = Field(
        max_length=63,
        pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$",
        description="Instance type such as ml.p5.48xlarge; the recipe says which are allowed.",
    )
    instance_count: int = Field(
        ge=1,
        le=256,
        description="Number of instances; becomes the recipe's run.replicas. The recipe says which counts are allowed.",
    )
    image: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        pattern=r"^[^\s]+$",
        description="Training image address. Absent: the catalogue's image for the model and the region.",
    )


class SageMaker(APIModel):
    """Run on Amazon SageMaker: exactly one form of job."""

    one_of = (rules.OneOf("a form of job", ("training",)),)

    region: str | None = Field(
        None,
        max_length=32,
        pattern=REGION,
        description="AWS region of the job, its data and its output, for example us-east-1. Absent: the profile's.",
    )
    role_arn: str | None = Field(
        None,
        max_length=2048,
        pattern=ROLE_ARN,
        description="IAM role that the training job assumes; it needs the data, the output and the logs. Its account "
        "is the account of the run. Absent: the profile's.",
    )
    training: SageMakerTraining | None = Field(None, description="A training job on instances.")


class RunPolicy(APIModel):
    """How long, how often and whether the run goes on. May be changed at any time."""

    max_runtime: Annotated[Duration, Ruled(rules.duration_between("1m", "672h"))] | None = Field(
        None,
        description="Longest training time over all attempts, 1m to 672h (default: the profile's, else 120h); reached, the run ends as "
        "Failed/DeadlineExceeded. Sent to SageMaker at the launch: a later change works from the next attempt on.",
    )
    pending_deadline: Annotated[Duration, Ruled(rules.duration_between("1s", "672h"))] = Field(
        "24h",
        description="Longest wait for the launch (permissions, quota, capacity), 1s to 672h (default 24h); reached, "
        "the job ends as Failed/PendingDeadlineExceeded.",
    )
    backoff_limit: int = Field(
        0,
        ge=0,
        le=10,
        description="New attempts after an end that was not your fault: no capacity, or an internal error of the "
        "service (default 0). A failed training is never repeated.",
    )
    suspend: bool = Field(
        False,
        description="True: nothing is launched; a run in progress is stopped. False again: a new attempt starts. Nova "
        "training jobs start from the beginning.",
    )
    stop: bool = Field(
        False,
        description="True ends the run for good (phase Stopped); only a new runID starts again.",
    )
    deletion_policy: DeletionPolicy | None = Field(
        None,
        description="What deleting this resource does to a run in progress. Stop (default, unless the profile has "
        "another): it is stopped, and the resource goes when it has ended. Orphan: it is left alone.",
    )


PLATFORMS = ("sageMaker",)
"""The platform blocks of the spec; one more platform is one more name here and one more field above."""


class SFTJobSpec(APIModel):
    """One run-to-completion fine-tuning. Everything but runPolicy, tags, profile and dataset.check defines the run and
    can be changed only together with runID."""

    one_of = (rules.OneOf("a platform block", PLATFORMS),)

    model: Model = Field(description="Which model is fine-tuned.")
    method: Method = Field(
        Method.LORA, description="LoRA (default) trains a small adapter, Full trains all weights. Must fit the recipe."
    )
    dataset: Dataset = Field(description="What the model learns from.")
    hyperparameters: Hyperparameters | None = Field(
        None, description="How the model is trained; what is absent keeps the recipe's value."
    )
    recipe: Recipe | None = Field(None, description="Which recipe is run; absent: chosen by model and instance type.")
    output: Output | None = Field(None, description="Where results go. Absent: where the profile says.")
    sage_maker: SageMaker | None = Field(None, description="Run on Amazon SageMaker.")
    profile: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="Name of the SFTProfile to use. Absent: the one that fits the namespace; where two fit, one must be "
        "named.",
    )
    run_policy: RunPolicy = Field(
        default_factory=RunPolicy, description="How long, how often and whether the run goes on. May always be changed."
    )
    run_id: str = Field(
        "1",
        alias="runID",
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
        description='Which run of this job (default "1"). A new value means: run it again, on purpose; going back to '
        "an old one finds that run and launches nothing.",
    )
    tags: Tags | None = Field(
        None,
        description="Tags on the AWS job, at most 40, besides the operator's own. Keys may not start with aws: or "
        "sft-operator.dev/. A tag added later is added to the live run; one removed stays on it.",
    )
