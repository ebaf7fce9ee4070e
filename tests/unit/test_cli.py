"""The `sft` command as a user at a shell meets it: files in, lines and exit codes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sft_operator.api import yaml12
from sft_operator.cli.main import main
from tests.manifests import nova_lite_2_lora

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
PROFILE = ROOT / "examples" / "profiles" / "ml-team.yaml"
WRONG = nova_lite_2_lora({"sageMaker.training.instanceCount": 5}, name="wrong")


def sft(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def text(*documents: Any) -> str:
    return "---\n".join(yaml12.dump(document) for document in documents)


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.yaml"
    path.write_text(text(nova_lite_2_lora()))
    return str(path)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    path = tmp_path / "wrong.yaml"
    path.write_text(text(WRONG))
    return str(path)


class TestValidate:
    def test_a_right_job_is_valid(self, good: str) -> None:
        answer = sft("validate", good)
        assert (answer.exit_code, answer.output.splitlines()[0]) == (0, f"{good}: nova-lite-2-lora: valid")

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
    def test_every_example_is_valid(self, example: Path) -> None:
        answer = sft("validate", "--rows", "10000", "-n", "ml-team", str(PROFILE), str(example))
        assert answer.exit_code == 0, answer.output

    def test_a_job_that_leaves_something_to_a_profile_is_told_where_to_find_it(self) -> None:
        answer = sft("validate", str(ROOT / "examples" / "nova-lite-2-lora.yaml"))
        assert answer.exit_code == 1
        for field in ("sageMaker.region", "sageMaker.roleARN", "output.uri"):
            assert f"error: spec.{field}: is missing: write it, or take an SFTProfile that gives it" in answer.output

    def test_a_job_outside_its_profile_is_refused_with_the_rule(self) -> None:
        foreign = nova_lite_2_lora({"dataset.train.uri": "s3://acme-other-team/train.jsonl"})
        answer = sft("validate", "-n", "ml-team", str(PROFILE), "-", stdin=text(foreign))
        assert answer.exit_code == 1
        assert (
            "error: spec.dataset.train.uri: s3://acme-other-team/train.jsonl is not below an allowed prefix "
            "(s3://acme-ml-team/) (SFTProfile ml-team, allowed.uriPrefixes)"
        ) in answer.output
        answer = sft("validate", "-n", "other", str(PROFILE), "-", stdin=text(nova_lite_2_lora()))
        assert "no SFTProfile serves namespace other" in answer.output

    def test_a_job_that_cannot_be_launched_is_refused_with_field_and_reason(self, wrong: str) -> None:
        answer = sft("validate", wrong)
        assert answer.exit_code == 1
        assert f"{wrong}: wrong: refused\n  error: spec.sageMaker.training.instanceCount: 5 instances" in answer.output

    def test_every_file_is_told_and_one_refused_job_decides(self, good: str, wrong: str) -> None:
        answer = sft("validate", wrong, good)
        assert answer.exit_code == 1
        assert f"{wrong}: wrong: refused\n" in answer.output
        assert f"{good}: nova-lite-2-lora: valid\n" in answer.output

    def test_every_mistake_of_a_job_is_told_at_once(self) -> None:
        manifest = nova_lite_2_lora(
            {"runPolicy.maxRuntime": "10000h", "tags": {"aws:x": "y"}, "model": {}}, name="Nova"
        )
        manifest["apiVersion"] = "sft-operator.dev/v1"
        answer = sft("validate", "-", stdin=text(manifest))
        fields = [line.split(": ")[1] for line in answer.output.splitlines() if line.startswith("  error: ")]
        assert fields == ["apiVersion", "metadata.name", "spec.model", "spec.runPolicy.maxRuntime", "spec.tags"]

    def test_epochs_of_a_recipe_that_counts_steps_need_the_number_of_rows(self) -> None:
        manifest = text(nova_lite_2_lora({"hyperparameters": {"epochs": 2}}))
        assert sft("validate", "-", stdin=manifest).exit_code == 1
        assert sft("validate", "--rows", "6400", "-", stdin=manifest).exit_code == 0


class TestWhatIsRead:
    def test_standard_input_is_read_for_a_hyphen(self) -> None:
        answer = sft("validate", "-", stdin=text(nova_lite_2_lora()))
        assert answer.output.startswith("-: nova-lite-2-lora: valid\n")

    def test_json_is_read(self) -> None:
        assert sft("validate", "-", stdin=json.dumps(nova_lite_2_lora())).exit_code == 0

    def test_several_documents_are_read_and_other_kinds_passed_over(self) -> None:
        other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not For Us"}, "data": {}}
        answer = sft("validate", "-", stdin=text(other, nova_lite_2_lora(), None, WRONG))
        assert [line for line in answer.output.splitlines() if not line.startswith(" ")] == [
            "-: nova-lite-2-lora: valid",
            "-: wrong: refused",
        ]

    @pytest.mark.parametrize("kind", ["List", "SFTJobList"])
    def test_a_list_as_kubectl_prints_it_is_read(self, kind: str) -> None:
        stored = nova_lite_2_lora()
        stored["metadata"] |= {"namespace": "ml", "uid": "1-2-3", "resourceVersion": "5", "managedFields": []}
        items = {"apiVersion": "v1", "kind": kind, "metadata": {}, "items": [{**stored, "status": {}}, WRONG]}
        answer = sft("validate", "-", stdin=text(items))
        assert answer.exit_code == 1
        assert "-: nova-lite-2-lora: valid\n" in answer.output
        assert "-: wrong: refused\n" in answer.output

    @pytest.mark.parametrize("command", ["validate", "render"])
    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"kind: SFTJob\nname: \xe9t\xe9\n", "line 2, column 7: byte 0xe9 is not UTF-8"),
            ("kind: SFTJob".encode("utf-16"), "line 1, column 1: byte 0xff is not UTF-8"),
            (b"kind: [SFTJob\n", "line 2, column 1: "),
            (b"", "no SFTJob in it"),
            (b"kind: ConfigMap\n", "no SFTJob in it"),
            (b"only words\n", "no SFTJob in it"),
        ],
    )
    def test_what_cannot_be_read_is_a_sentence_and_code_2(
        self, tmp_path: Path, command: str, content: bytes, says: str
    ) -> None:
        path = tmp_path / "job.yaml"
        path.write_bytes(content)
        answer = sft(command, str(path))
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert answer.stderr.startswith(f"sft: {path}")
        assert says in answer.stderr
        assert len(answer.stderr.splitlines()) == 1

    def test_a_file_that_is_not_there_is_code_2(self, tmp_path: Path) -> None:
        answer = sft("validate", str(tmp_path / "none.yaml"))
        assert answer.exit_code == 2
        assert "none.yaml" in answer.stderr

    def test_a_command_without_a_file_is_code_2(self) -> None:
        assert sft("validate").exit_code == 2


class TestRender:
    def test_the_request_and_the_recipe_are_printed_as_yaml(self, good: str) -> None:
        answer = sft("render", good)
        document = yaml12.load(answer.stdout, source="rendered")
        assert answer.exit_code == 0
        assert document["job"] == "default/nova-lite-2-lora"
        assert document["request"]["ResourceConfig"]["InstanceCount"] == 4
        (upload,) = document["uploads"]
        assert upload["content"]["training_config"]["max_steps"] == 200
        assert document["maxInstanceHours"] == 480

    def test_json_holds_the_same_documents_in_a_list(self, good: str) -> None:
        (from_json,) = json.loads(sft("render", "-o", "json", good).stdout)
        assert from_json == yaml12.load(sft("render", good).stdout, source="rendered")

    def test_a_refused_job_is_told_beside_the_output_and_the_others_are_printed(self, good: str, wrong: str) -> None:
        answer = sft("render", "-o", "json", wrong, good)
        assert answer.exit_code == 1
        assert [document["job"] for document in json.loads(answer.stdout)] == ["default/nova-lite-2-lora"]
        assert f"{wrong}: wrong: spec.sageMaker.training.instanceCount: 5 instances" in answer.stderr

    def test_the_namespace_and_the_scope_are_part_of_the_name_on_aws(self, good: str) -> None:
        def name(*options: str) -> str:
            request = json.loads(sft("render", "-o", "json", *options, good).stdout)[0]["request"]
            return str(request["TrainingJobName"])

        assert len({name(), name("-n", "ml"), name("--identity-scope", "blue"), name("-n", "default")}) == 3

    def test_numbers_are_taken_as_the_api_server_stores_them(self) -> None:
        point, whole = (
            sft(
                "render",
                "-",
                stdin=json.dumps(nova_lite_2_lora({"recipe.overrides": {"training_config": {"save_steps": n}}})),
            )
            for n in (50.0, 50)
        )
        assert (point.exit_code, point.stdout) == (0, whole.stdout)
