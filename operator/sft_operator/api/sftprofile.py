"""The spec of an SFTProfile: what a platform team gives to the namespaces it names, and what it allows them.

What it means for a job is in policy/; here is only what may be written, with the text that `kubectl explain` shows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from . import rules
from .base import APIModel, Ruled
from .sftjob import REGION, ROLE_ARN, DeletionPolicy, Duration, Tags

Glob = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[^\s]+$")]
"""Text in which * stands for any characters, none included; nothing else is special."""

UriPrefix = Annotated[str, Field(max_length=900, pattern=r"^[a-z][a-z0-9+.-]*://[^\s]*$")]
TemplatePrefix = Annotated[str, Field(max_length=900, pattern=r"^s3://[a-z0-9{][a-z0-9.{}-]{1,61}[a-z0-9}](/[^\s]*)?$")]

LabelKey = Annotated[str, Field(max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
MAX_RUNTIME = rules.duration_between("1m", "672h")


class SelectorOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class SelectorRequirement(APIModel):
    """One demand on a namespace's labels."""

    key: LabelKey = Field(description="The label.")
    operator: SelectorOperator = Field(description="In, NotIn, Exists or DoesNotExist.")
    values: list[LabelValue] | None = Field(None, max_length=100, description="For In and NotIn: the label's values.")


class LabelSelector(APIModel):
    """Chooses namespaces by their labels; all demands must be met, and an empty selector chooses every namespace."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=50)] | None = Field(
        None, description="Labels that a namespace must have, with their values."
    )
    match_expressions: list[SelectorRequirement] | None = Field(
        None, max_length=50, description="Further demands on its labels."
    )


class ProfileNamespaces(APIModel):
    """Who may use the profile: a namespace that is named, or that the selector chooses."""

    names: list[Annotated[str, Field(min_length=1, max_length=63)]] | None = Field(
        None, max_length=500, description="Namespaces by name."
    )
    selector: LabelSelector | None = Field(
        None,
        description="Namespaces by label, such as the kubernetes.io/metadata.name that each has. {} chooses all of them.",
    )


class DefaultOutput(APIModel):
    """Where results go when a job does not say."""

    uri: TemplatePrefix | None = Field(
        None, description="S3 prefix; {namespace} stands for the job's namespace: s3://acme/{namespace}/sft/."
    )
    kms_key_id: str | None = Field(
        None,
        min_length=1,
        max_length=2048,
        pattern=r"^[A-Za-z0-9:/_-]+$",
        description="KMS key (id, ARN or alias) that encrypts the results and the uploaded recipe.",
    )


class DefaultSageMaker(APIModel):
    """What a job on SageMaker takes from the profile when it does not say."""

    region: str | None = Field(
        None, max_length=32, pattern=REGION, description="AWS region of the job, its data and its output."
    )
    role_arn: str | None = Field(
        None, max_length=2048, pattern=ROLE_ARN, description="IAM role that the training job assumes."
    )


class ProfileDefaults(APIModel):
    """What a job takes from the profile where it says nothing itself. Must be allowed, too."""

    output: DefaultOutput | None = Field(None, description="Where results go.")
    sage_maker: DefaultSageMaker | None = Field(None, description="For jobs on SageMaker.")
    tags: Tags | None = Field(None, description="Tags on the AWS job; a job's own tag of the same key wins.")
    max_runtime: Annotated[Duration, Ruled(MAX_RUNTIME)] | None = Field(
        None, description="Longest training time, 1m to 672h; else 120h. Never more than allowed.maxRuntime."
    )
    deletion_policy: DeletionPolicy | None = Field(
        None, description="What deleting an SFTJob does to its run: Stop (else the default) or Orphan."
    )


class Allowed(APIModel):
    """What a job may name. It is asked before anything is read, of every field and of the recipe with its overrides;
    what is not allowed is refused with reason PolicyDenied and makes no AWS call."""

    role_arns: list[Glob] = Field(
        alias="roleARNs",
        max_length=100,
        description="IAM roles that a training job may assume, * for any characters: "
        "arn:aws:iam::111122223333:role/ml-team-*. An empty list allows none.",
    )
    uri_prefixes: list[UriPrefix] = Field(
        alias="uriPrefixes",
        max_length=100,
        description="Where data, recipes and results may lie: s3://acme-ml-team/ or s3://acme/{namespace}/; matched at "
        "whole path segments. s3:// allows every bucket that IAM allows; an empty list allows none.",
    )
    regions: list[Glob] | None = Field(
        None, max_length=50, description="AWS regions, * for any characters; absent: all."
    )
    instance_types: list[Glob] | None = Field(
        None,
        max_length=100,
        description="Instance types, * for any characters: ml.p5.*; absent: all that a recipe has.",
    )
    images: list[Glob] | None = Field(
        None,
        max_length=100,
        description="Training images that a job may name, * for any characters; absent: none, so that only the "
        "catalogue's own image runs.",
    )
    max_instance_count: int | None = Field(
        None, ge=1, le=256, description="Most instances of one run; absent: no limit."
    )
    max_instance_hours: float | None = Field(
        None, gt=0, le=1000000, description="Most instances x maxRuntime of one run, in hours; absent: no limit."
    )
    max_runtime: Annotated[Duration, Ruled(MAX_RUNTIME)] | None = Field(
        None, description="Longest runPolicy.maxRuntime, 1m to 672h; absent: no limit."
    )
    data_excerpts: bool = Field(
        True,
        description="Whether messages about wrong rows may quote a few characters of them (default true). False: only "
        "file, line and what is wrong.",
    )


class Access(APIModel):
    """As whom the operator calls AWS for these jobs."""

    assume_role_arn: str = Field(
        alias="assumeRoleARN",
        max_length=2048,
        pattern=ROLE_ARN,
        description="Role that the operator assumes for every AWS call of these jobs, in the account of their runs. Its "
        "trust policy must allow sts:AssumeRole and sts:TagSession to the operator's own identity.",
    )
    external_id: str | None = Field(
        None,
        alias="externalID",
        min_length=2,
        max_length=1224,
        pattern=r"^[\w+=,.@:/-]+$",
        description="External id that the role's trust policy demands (sts:ExternalId). Not a secret.",
    )


class SFTProfileSpec(APIModel):
    """What a platform team gives to namespaces (defaults, an AWS identity), and what it allows them."""

    namespaces: ProfileNamespaces = Field(
        description="Who may use it. A job that names no profile takes the one that fits its namespace; where two fit, "
        "it must name one."
    )
    defaults: ProfileDefaults | None = Field(None, description="What a job takes where it says nothing itself.")
    allowed: Allowed = Field(description="What a job may name.")
    access: Access | None = Field(
        None, description="As whom the operator calls AWS for these jobs; absent: with its own identity."
    )
    max_concurrent_runs: int | None = Field(
        None,
        ge=1,
        le=100000,
        description="Most runs at a time over all its namespaces; more wait in phase Queued, first come first served. "
        "Absent: no limit.",
    )
    pause_launches: bool = Field(
        False,
        description="True: nothing new is launched; what runs is followed to its end (default false). For incidents.",
    )
