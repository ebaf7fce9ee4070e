"""The IAM statements that SageMaker training jobs need: of the operator's identity, and of the role of the jobs. Pure.

aws/operations.py has the calls; a test holds these statements to what was called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ...aws.identity import TRAINING_LOG_GROUP
from ...aws.policies import Conditions, Statement, without_covered
from .scope import Scope

_ANY = ("*",)


def operator(scopes: Sequence[Scope]) -> tuple[Statement, ...]:
    """What the operator's identity for these scopes may do: its own, or the role of their profile."""
    jobs = _all(scope.jobs() for scope in scopes)
    data = _all(scope.data() for scope in scopes)
    results = _all((scope.below_output("output/output.tar.gz") for scope in scopes), beside=data)
    found = [
        Statement(
            sid="FollowTrainingJobs",
            purpose="launch, follow, tag and stop the runs; their names all begin with sft-",
            actions=(
                "sagemaker:CreateTrainingJob",
                "sagemaker:DescribeTrainingJob",
                "sagemaker:StopTrainingJob",
                "sagemaker:AddTags",
                "sagemaker:ListTags",
            ),
            resources=jobs,
        ),
        Statement(
            sid="ListTrainingJobs",
            purpose="see with one call what became of many runs; AWS knows no resource for it",
            actions=("sagemaker:ListTrainingJobs",),
            resources=_ANY,
            conditions=_only_regions(scopes),
        ),
        Statement(
            sid="PassJobRoles",
            purpose="give a training job its role (spec.sageMaker.roleARN), to SageMaker only",
            actions=("iam:PassRole",),
            resources=_all(scope.role_arns for scope in scopes),
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        Statement(
            sid="FindBuckets",
            purpose="tell a missing object from a forbidden one, and a bucket of another region",
            actions=("s3:ListBucket",),
            resources=_all(scope.buckets() for scope in scopes),
        ),
        Statement(sid="ReadData", purpose="check the data sets row by row", actions=("s3:GetObject",), resources=data),
        *_if_any(
            Statement(
                sid="ReadResults",
                purpose="read checkpoint and figures from a finished run's output.tar.gz",
                actions=("s3:GetObject",),
                resources=results,
            )
        ),
        Statement(
            sid="WriteRecipes",
            purpose="lay the resolved recipe down for the run, below <output>/<job name>/recipe/",
            actions=("s3:PutObject",),
            resources=_all(scope.below_output("recipe/*") for scope in scopes),
        ),
        *_keys(
            scopes,
            sid="Results",
            purpose="encrypt the recipe, and read results, with the key of the output (spec.output.kmsKeyID), by S3 only",
            actions=("kms:GenerateDataKey", "kms:Decrypt"),
            of=lambda scope: scope.kms_keys,
        ),
        *_keys(
            scopes,
            sid="Data",
            purpose="read encrypted data sets, by S3 only",
            actions=("kms:Decrypt",),
            of=lambda scope: scope.data_keys,
        ),
        Statement(
            sid="FindLogs",
            purpose="find a run's training log",
            actions=("logs:DescribeLogStreams",),
            resources=_all(scope.log_group("*") for scope in scopes),
        ),
        Statement(
            sid="ReadLogs",
            purpose="read steps, loss, and a failed run's last lines from it",
            actions=("logs:GetLogEvents",),
            resources=_all(scope.log_group("log-stream:sft-*") for scope in scopes),
        ),
    ]
    return tuple(statement for statement in found if statement.resources)


def job_role(scopes: Sequence[Scope]) -> tuple[Statement, ...]:
    """What the role of these scopes' training jobs may do. From AWS's documentation; not confirmed on a real account."""
    partition, account = scopes[0].partition, scopes[0].account
    escrow = f"arn:{partition}:s3:::customer-escrow-{account}-smtj-*"
    repositories = _all(scope.repositories() for scope in scopes)
    found = [
        Statement(
            sid="ReadInput",
            purpose="read the data sets and the recipe",
            actions=("s3:GetObject",),
            resources=_all((*scope.data(), *scope.below_output("recipe/*")) for scope in scopes),
        ),
        Statement(
            sid="ListInput",
            purpose="find them: SageMaker lists what lies at the URI of a channel",
            actions=("s3:ListBucket",),
            resources=_all(scope.buckets() for scope in scopes),
        ),
        Statement(
            sid="WriteOutput",
            purpose="write results below <output>/<job name>/output/",
            actions=("s3:PutObject", "s3:AbortMultipartUpload"),
            resources=_all(scope.below_output("output/*") for scope in scopes),
        ),
        Statement(
            sid="EscrowBucket",
            purpose="find the bucket of AWS in which Nova's checkpoints are kept for this account",
            actions=("s3:ListBucket",),
            resources=(escrow,),
        ),
        Statement(
            sid="EscrowObjects",
            purpose="write checkpoints of Nova there, and go on from them",
            actions=("s3:GetObject", "s3:PutObject"),
            resources=(f"{escrow}/*",),
        ),
        *_keys(
            scopes,
            sid="Results",
            purpose="encrypt results with the key of the output (spec.output.kmsKeyID)",
            actions=("kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt"),
            of=lambda scope: scope.kms_keys,
        ),
        *_keys(
            scopes,
            sid="Data",
            purpose="read encrypted data sets",
            actions=("kms:Decrypt",),
            of=lambda scope: scope.data_keys,
        ),
        Statement(
            sid="WriteLogs",
            purpose="write the training log",
            actions=("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"),
            resources=_all(scope.log_group("*") for scope in scopes),
        ),
        Statement(
            sid="WriteMetrics",
            purpose="write the instances' metrics; AWS knows no resource for it",
            actions=("cloudwatch:PutMetricData",),
            resources=_ANY,
            conditions={"StringLike": {"cloudwatch:namespace": TRAINING_LOG_GROUP.rpartition("/")[0] + "/*"}},
        ),
        Statement(
            sid="RegistryLogin",
            purpose="log in to ECR; AWS knows no resource for it",
            actions=("ecr:GetAuthorizationToken",),
            resources=_ANY,
        ),
        *_if_any(
            Statement(
                sid="PullImage",
                purpose="pull the training image",
                actions=("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
                resources=repositories,
            )
        ),
    ]
    return tuple(statement for statement in found if statement.resources)


def trusted_by_sagemaker(account: str) -> tuple[Statement, ...]:
    """Trust policy of a job's role."""
    return (
        Statement(
            sid="SageMaker",
            purpose="let SageMaker, for jobs of this account only, act as this role",
            actions=("sts:AssumeRole",),
            principal={"Service": "sagemaker.amazonaws.com"},
            conditions={"StringEquals": {"aws:SourceAccount": account}},
        ),
    )


def _keys(
    scopes: Sequence[Scope],
    *,
    sid: str,
    purpose: str,
    actions: tuple[str, ...],
    of: Callable[[Scope], Sequence[str]],
) -> Iterator[Statement]:
    """A policy names a key by its ARN only: one that is known by an alias is found by a condition on that."""
    via: Conditions = {"StringLike": {"kms:ViaService": _services("s3", scopes)}}
    arns = _all(scope.key_arns(of(scope)) for scope in scopes)
    yield from _if_any(Statement(sid=f"{sid}Key", purpose=purpose, actions=actions, resources=arns, conditions=via))
    aliases = _all(scope.aliases(of(scope)) for scope in scopes)
    if aliases:
        yield Statement(
            sid=f"{sid}KeyAlias",
            purpose=purpose,
            actions=actions,
            resources=_all(scope.any_key() for scope in scopes if scope.aliases(of(scope))),
            conditions={**via, "ForAnyValue:StringEquals": {"kms:ResourceAliases": list(aliases)}},
        )


def _services(service: str, scopes: Sequence[Scope]) -> list[str]:
    suffix = "amazonaws.com.cn" if scopes[0].partition == "aws-cn" else "amazonaws.com"
    return [f"{service}.{region}.{suffix}" for region in _all(scope.regions for scope in scopes)]


def _only_regions(scopes: Sequence[Scope]) -> Conditions:
    regions = _all(scope.regions for scope in scopes)
    return {} if regions == _ANY else {"StringLike": {"aws:RequestedRegion": list(regions)}}


def _all(texts: Iterable[Iterable[str]], *, beside: Iterable[str] = ()) -> tuple[str, ...]:
    return without_covered((text for group in texts for text in group), beside)


def _if_any(statement: Statement) -> Iterator[Statement]:
    if statement.resources:
        yield statement
