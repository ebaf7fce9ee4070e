"""Everything that the operator calls in the lives of its jobs, against the policies that `sft setup aws` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sft_lab.awssim.control import Call, Sim
from sft_operator.api.place import Access
from sft_operator.aws.operations import OPERATIONS
from sft_operator.aws.sessions import ClientSettings, _assume_role_arguments
from sft_operator.cli.main import main
from sft_operator.platforms.base import Observation, ProfileUse
from sft_operator.platforms.sagemaker.settings import SageMakerSettings
from sft_operator.platforms.sagemaker.sweep import Sweep
from tests import iam
from tests.manifests import nova_lite_2_lora
from tests.sagemaker_lab import Lab, lab, simulated_aws, view

ACCOUNT = "111122223333"
OPERATOR = f"arn:aws:iam::{ACCOUNT}:role/sft-operator"
ACCESS = Access(f"arn:aws:iam::{ACCOUNT}:role/sft-operator-ml-team", "outside", "ml-team", "ml-team")
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1111aaaa-22bb-33cc-44dd-555555eeeeee"
ALIASES = {"alias/ml-team": KEY}
NEEDED = ("training-job/sft-*", "sft-*/recipe/*", "sft-*/output/output.tar.gz", ":*", ":log-stream:sft-*")
"""The operator names runs while they come, and only their beginning, recipe and result are known before."""


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated_aws() as sim:
        yield sim


@pytest.fixture
def aws(sim: Sim) -> Iterator[Lab]:
    with lab(sim, SageMakerSettings(tick=0.05), ClientSettings(total_max_attempts=1)) as made:
        yield made


def profile(access: Access | None) -> dict[str, Any]:
    given = {"assumeRoleARN": ACCESS.role_arn, "externalID": ACCESS.external_id}
    return {
        "apiVersion": "sft-operator.dev/v1alpha1",
        "kind": "SFTProfile",
        "metadata": {"name": "ml-team"},
        "spec": {
            "namespaces": {"names": ["ml-team"]},
            "allowed": {"roleARNs": [f"arn:aws:iam::{ACCOUNT}:role/ml-team-*"], "uriPrefixes": ["s3://acme-ml-team/"]},
            **({"access": given} if access is not None else {}),
        },
    }


def printed(tmp_path: Path, *documents: Mapping[str, Any], options: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """`sft setup aws` of these manifests: roles by ARN."""
    file = tmp_path / "manifests.json"
    file.write_text(json.dumps({"kind": "List", "items": documents}))
    answer = CliRunner().invoke(main, ["setup", "aws", str(file), "-n", "ml-team", *options])
    assert answer.exit_code == 0, answer.output
    return {role["role"]: role for role in json.loads(answer.stdout)["roles"]}


async def life(aws: Lab, access: Access | None, kms: str) -> list[Call]:
    """Two jobs: one is checked, launched, found again, tagged and followed to its result; one is stopped."""
    use = ProfileUse("ml-team", 1, access)
    first, second = (view({"output.kmsKeyID": kms}, name=name, uid=name, profile=use) for name in ("first", "second"))
    facts = (await aws.platform.check(first)).facts
    plan, other = aws.plan(first, facts), aws.plan(second, facts)
    for job, launched in ((first, plan), (second, other)):
        assert (await aws.platform.submit(launched, job, facts)).job_arn
    assert await aws.platform.find(plan.ref, first) is not None
    await aws.platform.tag(plan.ref, {"team": "tone"})
    sweep = Sweep(aws.caller, SageMakerSettings(), plan.ref.place, monotonic=lambda: 0.0)
    sweep.keep([plan.ref, other.ref])
    await sweep.look()
    assert await aws.platform.stop(other.ref, cause="Delete")
    aws.sim.advance(3600)
    alone = Sweep(aws.caller, SageMakerSettings(), plan.ref.place, monotonic=lambda: 0.0)
    alone.keep([plan.ref])
    [(_, seen)] = await alone.look()
    assert isinstance(seen, Observation)
    result = await aws.platform.result(plan.ref, seen, plan.effective)
    assert result.artifacts.checkpoint is not None, result.artifacts.checkpoint_message
    return aws.sim.calls()


@pytest.mark.parametrize("access", [None, ACCESS], ids=["own-identity", "profile-role"])
@pytest.mark.parametrize("kms", [KEY, "alias/ml-team"], ids=["key", "alias"])
async def test_a_life_is_allowed_by_what_is_printed_for_it_and_uses_all_of_it(
    aws: Lab, tmp_path: Path, access: Access | None, kms: str
) -> None:
    job = nova_lite_2_lora({"output.kmsKeyID": kms})
    roles = printed(tmp_path, profile(access), job)
    calls = await life(aws, access, kms)
    used: dict[str, set[iam.Grant]] = {arn: set() for arn in roles}
    for call in calls:
        caller = OPERATOR if not call.caller.startswith("ASIA") else ACCESS.role_arn
        for request in iam.requests(call, aliases=ALIASES):
            granted = iam.allowed(roles[caller]["policy"], request)
            assert granted is not None, f"{caller} may not {request}"
            used[caller].add(granted)
    for arn in (OPERATOR, ACCESS.role_arn) if access else (OPERATOR,):
        assert iam.every_grant(roles[arn]["policy"]) - used[arn] == set(), f"unused in {arn}"
        wide = iam.wide(roles[arn]["policy"], (*NEEDED, ":key/*") if kms.startswith("alias/") else NEEDED)
        assert wide == []
    seen = {(call.service, call.operation) for call in calls}
    every = {(service, operation) for service, operations in OPERATIONS.items() for operation in operations}
    assert seen - {("sts", "AssumeRole")} == every, "a life with every operation of aws/operations.py"
    assert (("sts", "AssumeRole") in seen) == (access is not None)


@pytest.mark.parametrize(
    "request_",
    [
        iam.Request("sagemaker:StopTrainingJob", f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/somebody-elses"),
        iam.Request("sagemaker:CreateTrainingJob", f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:training-job/sft-a"),
        iam.Request("sagemaker:DeleteTrainingJob", f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/sft-a"),
        iam.Request("sagemaker:ListTrainingJobs", "*", {"aws:RequestedRegion": "eu-west-1"}),
        iam.Request(
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/ml-team-other",
            {"iam:PassedToService": "sagemaker.amazonaws.com"},
        ),
        iam.Request(
            "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/ml-team-sft", {"iam:PassedToService": "ec2.amazonaws.com"}
        ),
        iam.Request("s3:ListBucket", "arn:aws:s3:::acme-other"),
        iam.Request("s3:GetObject", "arn:aws:s3:::acme-ml-team/secret.jsonl"),
        iam.Request("s3:PutObject", "arn:aws:s3:::acme-ml-team/train.jsonl"),
        iam.Request("s3:PutObject", "arn:aws:s3:::acme-ml-team/sft/sft-a/output/output.tar.gz"),
        iam.Request("s3:DeleteObject", "arn:aws:s3:::acme-ml-team/sft/sft-a/recipe/1/recipe.yaml"),
        iam.Request("kms:Decrypt", KEY, {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}),
        iam.Request("logs:GetLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{iam.LOG_GROUP}:log-stream:x/y"),
    ],
    ids=lambda request: f"{request.action} {request.resource.rpartition(':')[2]}",
)
def test_what_the_job_does_not_need_is_not_allowed(tmp_path: Path, request_: iam.Request) -> None:
    roles = printed(tmp_path, nova_lite_2_lora({"output.kmsKeyID": KEY}))
    assert iam.allowed(roles[OPERATOR]["policy"], request_) is None


def test_the_session_that_the_operator_asks_for_is_let_in_and_no_other(tmp_path: Path) -> None:
    trust = printed(tmp_path, profile(ACCESS), nova_lite_2_lora())[ACCESS.role_arn]["trustPolicy"]
    asked = _assume_role_arguments(ACCESS)
    tags = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in asked["Tags"]}
    context = {"sts:ExternalId": asked["ExternalId"], **tags}

    def let_in(action: str, context: Mapping[str, str], principal: str = OPERATOR) -> bool:
        return iam.allowed(trust, iam.Request(action, "*", context, f"AWS:{principal}")) is not None

    assert let_in("sts:AssumeRole", context)
    assert let_in("sts:TagSession", tags)
    assert not let_in("sts:AssumeRole", context | {"sts:ExternalId": "another"})
    assert not let_in("sts:AssumeRole", tags)
    assert not let_in("sts:AssumeRole", context | {"aws:RequestTag/sft-operator.dev/profile": "another"})
    assert not let_in("sts:TagSession", {})
    assert not let_in("sts:AssumeRole", context, f"arn:aws:iam::{ACCOUNT}:role/another")


async def test_the_role_of_the_job_may_do_what_its_request_makes_sagemaker_do(aws: Lab, tmp_path: Path) -> None:
    """Read from the request: awssim's training jobs do not call S3 as a client would."""
    job = view({"output.kmsKeyID": KEY})
    sent = aws.plan(job).request
    roles = printed(tmp_path, nova_lite_2_lora({"output.kmsKeyID": KEY}))
    role = roles[sent["RoleArn"]]
    name, output = sent["TrainingJobName"], sent["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://")
    image = sent["AlgorithmSpecification"]["TrainingImage"]
    registry, _, repository = image.partition("/")
    repository = f"arn:aws:ecr:us-east-1:{registry.partition('.')[0]}:repository/{repository.partition(':')[0]}"
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{iam.LOG_GROUP}"
    escrow = f"arn:aws:s3:::customer-escrow-{ACCOUNT}-smtj-abc123"
    inputs = [c["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://") for c in sent["InputDataConfig"]]
    assert len(inputs) == 3
    asked = [
        *(iam.Request("s3:GetObject", f"arn:aws:s3:::{place}") for place in inputs),
        *(iam.Request("s3:ListBucket", f"arn:aws:s3:::{place.partition('/')[0]}") for place in inputs),
        *(
            iam.Request(action, f"arn:aws:s3:::{output}{name}/output/output.tar.gz")
            for action in ("s3:PutObject", "s3:AbortMultipartUpload")
        ),
        iam.Request("s3:ListBucket", escrow),
        *(iam.Request(action, f"{escrow}/{name}/200") for action in ("s3:GetObject", "s3:PutObject")),
        *(
            iam.Request(f"kms:{action}", KEY, {"kms:ViaService": "s3.us-east-1.amazonaws.com"})
            for action in ("GenerateDataKey", "Encrypt", "Decrypt")
        ),
        *(
            iam.Request(f"logs:{action}", f"{group}:log-stream:{name}/algo-1")
            for action in ("CreateLogGroup", "CreateLogStream", "PutLogEvents", "DescribeLogStreams")
        ),
        iam.Request("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}),
        iam.Request("ecr:GetAuthorizationToken", "*"),
        *(
            iam.Request(f"ecr:{action}", repository)
            for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
        ),
    ]
    used = {iam.allowed(role["policy"], request) for request in asked}
    assert used == iam.every_grant(role["policy"])
    trusted = iam.Request("sts:AssumeRole", "*", {"aws:SourceAccount": ACCOUNT}, "Service:sagemaker.amazonaws.com")
    assert iam.allowed(role["trustPolicy"], trusted)
    other = iam.Request("sts:AssumeRole", "*", {"aws:SourceAccount": "9" * 12}, "Service:sagemaker.amazonaws.com")
    assert not iam.allowed(role["trustPolicy"], other)
