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
from sft_operator.controller.reconcile import job
from tests.manifests import Manifest, nova_lite_2_lora
from tests.refusals import REFUSED, TAKEN


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


def test_a_stored_job_that_a_rule_no_longer_lets_pass_is_read_with_its_run_and_the_reason() -> None:
    """Its run goes on being followed by what status says; only a launch needs the spec."""
    manifest = nova_lite_2_lora({"runPolicy.maxRuntime": "1000h"})
    manifest["metadata"] |= {"namespace": "ml", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    manifest["status"] = {"phase": "Running", "runID": "1", "attempt": 1, "jobName": "sft-nova-0123456789-1"}
    stored = job.parse(manifest)
    assert stored.spec is None
    assert stored.spec_error.startswith("spec.runPolicy.maxRuntime: must be a duration between 1m and 672h")
    assert (stored.status.job_name, stored.status.run_id) == ("sft-nova-0123456789-1", "1")
