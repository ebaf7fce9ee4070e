"""docs/permissions.md says what `sft setup aws` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from sft_operator.aws.policies import Statement, assuming
from sft_operator.cli.main import main
from sft_operator.platforms.sagemaker.permissions import job_role, operator
from sft_operator.platforms.sagemaker.scope import Scope

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "permissions.md").read_text()
PROFILE = str(ROOT / "examples" / "profiles" / "ml-team.yaml")
EVERYTHING = Scope(
    source="a job with everything",
    partition="aws",
    account="111122223333",
    regions=("us-east-1",),
    role_arns=("arn:aws:iam::111122223333:role/jobs",),
    reads=("acme/train.jsonl",),
    outputs=("acme/out/",),
    kms_keys=("1111aaaa-22bb-33cc-44dd-555555eeeeee",),
    data_keys=("1111aaaa-22bb-33cc-44dd-555555eeeeee",),
    images=("444455556666.dkr.ecr.us-east-1.amazonaws.com/repo:tag",),
)


def line(statement: Statement) -> str:
    return f"| {statement.sid} | {', '.join(statement.actions)} | {statement.purpose} |"


def test_the_page_shows_what_is_printed_for_the_example() -> None:
    answer = CliRunner().invoke(main, ["setup", "aws", PROFILE, "--cluster", "prod"])
    [shown] = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert json.loads(shown) == json.loads(answer.stdout)


def test_the_page_tells_what_every_statement_is_for_and_knows_no_other() -> None:
    printed = [line(found) for found in (assuming(("x",)), *operator([EVERYTHING]), *job_role([EVERYTHING]))]
    assert [text for text in PAGE.splitlines() if re.match(r"\| [A-Z]\w+ \| \w+:\w+", text)] == printed


def test_a_key_known_by_an_alias_is_the_same_statement_with_a_condition() -> None:
    aliased = {"kms_keys": ("alias/acme",), "data_keys": ("alias/acme",)}
    fields = {name: getattr(EVERYTHING, name) for name in EVERYTHING.__dataclass_fields__} | aliased
    by_alias = operator([Scope(**fields)])
    by_key = {f"{found.sid}Alias": found.purpose for found in operator([EVERYTHING])}
    aliases = [found for found in by_alias if found.sid.endswith("KeyAlias")]
    assert {found.sid: found.purpose for found in aliases}.items() <= by_key.items()
    assert all(
        found.conditions["ForAnyValue:StringEquals"] == {"kms:ResourceAliases": ["alias/acme"]} for found in aliases
    )
