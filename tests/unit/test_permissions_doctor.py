"""What `sft doctor` asks, and how it tells: the parts that need neither a cluster nor AWS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sft_lab.awssim.control import Sim
from sft_operator.cli import doctor_aws
from sft_operator.cli.doctor_aws import Probe, Untold, probes
from sft_operator.cli.doctor_row import Row, Verdict, exit_code, summary, table
from sft_operator.cli.main import main
from sft_operator.cli.scopes import Claim
from sft_operator.platforms.sagemaker.permissions import operator
from sft_operator.platforms.sagemaker.scope import Scope
from tests.sagemaker_lab import simulated_aws

NOTHING = "sft-doctor-0123456789"
SCOPE = Scope(
    source="SFTProfile acme",
    partition="aws",
    account="111122223333",
    regions=("us-east-1",),
    role_arns=("arn:aws:iam::111122223333:role/acme-*",),
    reads=("acme/a${*}b.jsonl", "acme/team/*"),
    outputs=("acme/out/",),
    kms_keys=("alias/acme",),
    data_keys=("arn:aws:kms:us-east-1:111122223333:key/1",),
)
CHANGING = {"stop_training_job", "add_tags", "put_object"}


def asked(scope: Scope = SCOPE) -> list[Probe | Untold]:
    return list(probes(scope, "us-east-1", NOTHING))


def row(verdict: Verdict, **fields: Any) -> Row:
    return Row(**{"part": "AWS", "verdict": verdict, "permission": "s3:GetObject", "on": "x", **fields})


def test_every_action_of_the_policy_is_tried_or_told_to_be_untold() -> None:
    printed = {action for statement in operator([SCOPE]) for action in statement.actions}
    assert {found.action for found in asked()} == printed
    untold = {found.action for found in asked() if isinstance(found, Untold)}
    assert untold == {"sagemaker:CreateTrainingJob", "iam:PassRole", "kms:GenerateDataKey", "kms:Decrypt"}


def test_a_call_that_could_change_something_is_about_what_does_not_exist() -> None:
    changing = [found for found in asked() if isinstance(found, Probe) and found.operation in CHANGING]
    assert {found.operation for found in changing} == CHANGING
    for found in changing:
        named: Mapping[str, Any] = found.arguments
        assert NOTHING in str(named.get("TrainingJobName") or named.get("ResourceArn") or named.get("Key"))
        assert ("ContentMD5" in named) == (found.operation == "put_object")


def test_the_upload_is_encrypted_as_a_recipe_would_be() -> None:
    [put] = [found for found in asked() if isinstance(found, Probe) and found.operation == "put_object"]
    assert (put.arguments["ServerSideEncryption"], put.arguments["SSEKMSKeyId"]) == ("aws:kms", "alias/acme")


def test_a_star_of_a_name_is_asked_for_and_one_of_a_pattern_is_filled() -> None:
    keys = [found.arguments["Key"] for found in asked() if isinstance(found, Probe) and "Key" in found.arguments]
    assert keys[:2] == ["a*b.jsonl", f"team/{NOTHING}"]


def test_a_profile_of_every_bucket_names_none_to_ask_about() -> None:
    everywhere = Scope(
        source="x", partition="aws", account="1" * 12, regions=("*",), role_arns=(), reads=("*/*",), outputs=("*/*",)
    )
    found = [part for part in asked(everywhere) if part.action.startswith("s3:")]
    assert [(type(part), part.action) for part in found] == [(Untold, "s3:ListBucket")]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row(Verdict.WORKS), row(Verdict.UNKNOWN, by_nature=True)], 0),
        ([row(Verdict.WORKS), row(Verdict.DENIED)], 1),
        ([row(Verdict.WORKS), row(Verdict.UNKNOWN)], 2),
        ([row(Verdict.UNKNOWN), row(Verdict.DENIED)], 1),
        ([], 2),
    ],
)
def test_the_exit_code_says_denied_before_untried(rows: list[Row], code: int) -> None:
    assert exit_code(rows) == code


def test_what_is_missing_is_told_once() -> None:
    twice = [row(Verdict.DENIED, missing="{}"), row(Verdict.DENIED, missing="{}", on="y")]
    assert list(summary(twice)) == ["missing: AWS: {}", "0 works, 2 denied, 0 unknown"]
    assert next(iter(table(twice))) == "AWS"


def test_without_a_region_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    [found] = doctor_aws.examine([Claim(SCOPE, None, None)])
    assert (found.verdict, exit_code([found])) == (Verdict.UNKNOWN, 2)
    assert "set AWS_REGION" in found.note


def test_a_shell_without_credentials_is_told_and_nothing_more_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with simulated_aws() as sim:
        assert isinstance(sim, Sim)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", str(tmp_path))
        [found] = doctor_aws.examine([Claim(SCOPE, None, "us-east-1")])
        assert found.verdict is Verdict.UNKNOWN
        assert found.note.startswith("NoCredentials")
        assert sim.calls() == []


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--service-account", "no-namespace"], {}, "--service-account no-namespace: write namespace/name"),
        ([], {"SFT_CONFIG": "/does/not/exist"}, "SFT_CONFIG: /does/not/exist cannot be read"),
        (["/does/not/exist"], {}, "/does/not/exist"),
    ],
)
def test_a_command_that_cannot_be_meant_is_a_sentence_and_code_2(
    arguments: list[str], environment: dict[str, str], said: str
) -> None:
    answer = CliRunner().invoke(main, ["doctor", *arguments], env=environment)
    assert answer.exit_code == 2
    assert said in answer.stderr
