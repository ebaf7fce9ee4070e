"""`sft validate` refuses what the API server refuses and takes what it takes: the same objects go to the API server in
tests/cluster/test_api_refusals.py."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sft_operator.api import durations, rules
from sft_operator.cli.main import main
from tests.manifests import Manifest
from tests.refusals import REFUSED, TAKEN
from tests.unit.world import World


def validate(manifest: Manifest) -> tuple[int, str]:
    answer = CliRunner().invoke(main, ["validate", "-"], input=json.dumps(manifest))
    return answer.exit_code, answer.output


@pytest.mark.parametrize("case", REFUSED)
def test_sft_validate_refuses_what_the_api_server_refuses(case: str) -> None:
    code, said = validate(REFUSED[case].manifest)
    assert (code, REFUSED[case].offline in said) == (1, True), said


@pytest.mark.parametrize("case", TAKEN)
def test_sft_validate_takes_what_the_api_server_takes(case: str) -> None:
    code, said = validate(TAKEN[case])
    assert (code, ": valid\n" in said, "error" in said) == (0, True, False), said


@given(st.integers(0, 700 * 3600), st.sampled_from(["s", "m", "h"]))
def test_a_duration_is_in_bounds_whatever_its_unit(length: int, unit: str) -> None:
    text = f"{length}{unit}"
    try:
        inside = 60 <= durations.seconds(text) <= 672 * 3600
    except ValueError:
        inside = False
    assert rules.duration_between("1m", "672h").holds(text) is inside


def test_the_run_of_a_stored_job_that_a_rule_no_longer_lets_pass_is_followed_to_its_end() -> None:
    with World() as world:
        world.apply()
        world.advance(40)
        world.aws.run()
        world.advance(40)
        world.kill_operator()
        world.cluster.objects[world.key]["spec"]["runPolicy"]["maxRuntime"] = "1000h"  # stored under older rules
        world.start_operator()
        world.advance(40)
        assert world.phase == "Running"
        world.aws.complete()
        world.advance(40)
        assert world.phase == "Succeeded"
        assert len(world.aws.created) == 1


def test_a_stored_job_that_was_not_launched_and_that_no_rule_lets_pass_ends_with_the_words_of_the_rule() -> None:
    with World() as world:
        world.apply({"runPolicy.maxRuntime": "1000h"})
        assert (world.phase, world.status["reason"]) == ("Failed", "InvalidSpec")
        assert "spec.runPolicy.maxRuntime: must be a duration between 1m and 672h" in world.status["message"]
