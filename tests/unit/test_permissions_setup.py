"""`sft setup aws` as a platform team at a shell meets it: profiles and jobs in, roles in three forms out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sft_operator.api import yaml12
from sft_operator.cli.main import main
from tests import iam
from tests.manifests import nova_lite_2_lora

ROOT = Path(__file__).resolve().parents[2]
ML_TEAM = str(ROOT / "examples" / "profiles" / "ml-team.yaml")
SHARED = str(ROOT / "examples" / "profiles" / "shared.yaml")
OPERATOR = "arn:aws:iam::111122223333:role/sft-operator"


def setup(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["setup", "aws", *arguments], input=stdin)


def roles(*arguments: str, stdin: str = "") -> dict[str, Any]:
    answer = setup(*arguments, stdin=stdin)
    assert answer.exit_code == 0, answer.output
    return {role["role"]: role for role in json.loads(answer.stdout)["roles"]}


def profile(name: str = "open", **spec: Any) -> str:
    """An SFTProfile as text, wide open but for what is given."""
    full = {
        "namespaces": {"names": ["ml-team"]},
        "allowed": {"roleARNs": ["arn:aws:iam::111122223333:role/jobs"], "uriPrefixes": ["s3://acme-ml-team/"]},
        **spec,
    }
    return json.dumps(
        {"apiVersion": "sft-operator.dev/v1alpha1", "kind": "SFTProfile", "metadata": {"name": name}, "spec": full}
    )


def resources(role: Mapping[str, Any], sid: str) -> list[str]:
    [found] = [s["Resource"] for s in role["policy"]["Statement"] if s["Sid"] == sid]
    return list(found)


def sids(role: Mapping[str, Any]) -> list[str]:
    return [statement["Sid"] for statement in role["policy"]["Statement"]]


class TestWhatIsScoped:
    def test_a_profile_with_a_role_of_its_own_leaves_the_operator_nothing_but_to_assume_it(self) -> None:
        found = roles(ML_TEAM)
        assert list(found) == [
            OPERATOR,
            "arn:aws:iam::111122223333:role/sft-operator-ml-team",
            "arn:aws:iam::111122223333:role/ml-team-sft",
        ]
        assert sids(found[OPERATOR]) == ["AssumeProfileRoles"]
        assert resources(found[OPERATOR], "AssumeProfileRoles") == [list(found)[1]]

    def test_a_profile_gets_what_it_allows_a_job_what_it_names(self) -> None:
        whole = roles(ML_TEAM)["arn:aws:iam::111122223333:role/sft-operator-ml-team"]
        assert resources(whole, "ReadData") == ["arn:aws:s3:::acme-ml-team/*"]
        assert resources(whole, "PassJobRoles") == ["arn:aws:iam::111122223333:role/ml-team-*"]
        assert "ReadResults" not in sids(whole), "they lie below what may be read anyway"
        exact = roles(ML_TEAM, str(ROOT / "examples" / "nova-lite-2-lora.yaml"), "-n", "ml-team")[whole["role"]]
        assert resources(exact, "ReadData") == [
            "arn:aws:s3:::acme-ml-team/train.jsonl",
            "arn:aws:s3:::acme-ml-team/val.jsonl",
        ]
        assert resources(exact, "PassJobRoles") == ["arn:aws:iam::111122223333:role/ml-team-sft"]
        assert resources(exact, "WriteRecipes") == ["arn:aws:s3:::acme-ml-team/sft/sft-*/recipe/*"]

    def test_a_namespace_in_a_prefix_is_each_that_is_named_or_any_that_a_selector_may_choose(self) -> None:
        allowed = {"roleARNs": ["arn:aws:iam::111122223333:role/jobs"], "uriPrefixes": ["s3://acme/{namespace}/"]}
        named = roles("-", stdin=profile(namespaces={"names": ["a", "b"]}, allowed=allowed))[OPERATOR]
        assert resources(named, "ReadData") == ["arn:aws:s3:::acme/a/*", "arn:aws:s3:::acme/b/*"]
        chosen = roles("-", stdin=profile(namespaces={"selector": {}}, allowed=allowed))[OPERATOR]
        assert resources(chosen, "ReadData") == ["arn:aws:s3:::acme/*/*"]

    def test_a_prefix_without_a_slash_ends_at_a_whole_segment(self) -> None:
        allowed = {"roleARNs": ["arn:aws:iam::111122223333:role/jobs"], "uriPrefixes": ["s3://acme/team"]}
        found = roles("-", stdin=profile(allowed=allowed))[OPERATOR]
        assert iam.allowed(found["policy"], iam.Request("s3:GetObject", "arn:aws:s3:::acme/team/a"))
        assert not iam.allowed(found["policy"], iam.Request("s3:GetObject", "arn:aws:s3:::acme/team-b/a"))

    def test_a_star_in_the_name_of_a_data_object_is_that_object_only(self) -> None:
        job = nova_lite_2_lora({"dataset.train.uri": "s3://acme-ml-team/a*b.jsonl"})
        policy = roles("-", stdin=yaml12.dump(job))[OPERATOR]["policy"]
        assert iam.allowed(policy, iam.Request("s3:GetObject", "arn:aws:s3:::acme-ml-team/a*b.jsonl"))
        assert not iam.allowed(policy, iam.Request("s3:GetObject", "arn:aws:s3:::acme-ml-team/a-b.jsonl"))

    def test_a_role_glob_without_an_account_stays_in_the_account_of_the_runs(self) -> None:
        allowed = {"roleARNs": ["*"], "uriPrefixes": ["s3://acme/"]}
        access = {"assumeRoleARN": "arn:aws:iam::444455556666:role/there"}
        found = roles(
            "-", "--operator-role", OPERATOR, stdin=profile(allowed=allowed, access=access, maxConcurrentRuns=1)
        )
        assert resources(found["arn:aws:iam::444455556666:role/there"], "PassJobRoles") == [
            "arn:aws:iam::444455556666:role/*"
        ]

    def test_regions_of_the_profile_bound_every_statement_that_has_one(self) -> None:
        found = roles(SHARED)["arn:aws:iam::444455556666:role/sft-operator-shared"]
        text = json.dumps(found["policy"])
        assert set(re.findall(r"\b[a-z]{2}-[a-z]+-\d\b", text)) == {"us-west-2"}
        assert resources(found, "ResultsKeyAlias") == ["arn:aws:kms:us-west-2:444455556666:key/*"]

    def test_a_key_of_the_data_is_for_reading_only(self) -> None:
        key = "arn:aws:kms:us-east-1:111122223333:key/1111aaaa-22bb-33cc-44dd-555555eeeeee"
        found = roles(ML_TEAM, "--data-key", key)
        [statement] = [
            s
            for s in found["arn:aws:iam::111122223333:role/sft-operator-ml-team"]["policy"]["Statement"]
            if s["Sid"] == "DataKey"
        ]
        assert (statement["Action"], statement["Resource"]) == (["kms:Decrypt"], [key])

    def test_two_profiles_of_one_role_are_both_let_in(self) -> None:
        access = {"assumeRoleARN": "arn:aws:iam::111122223333:role/both"}
        both = profile("one", access=access) + "\n---\n" + profile("two", access=access)
        found = roles("-", stdin=both)["arn:aws:iam::111122223333:role/both"]
        condition = found["trustPolicy"]["Statement"][0]["Condition"]["StringEquals"]
        assert condition == {"aws:RequestTag/sft-operator.dev/profile": ["one", "two"]}

    @pytest.mark.parametrize("example", [ML_TEAM, SHARED])
    def test_every_statement_has_a_name_of_its_own_and_fits_into_iam(self, example: str) -> None:
        for role in roles(example).values():
            for policy, limit in ((role["policy"], 10_240), (role["trustPolicy"], 2_048)):
                names = [statement["Sid"] for statement in policy["Statement"]]
                assert len(names) == len(set(names))
                assert all(re.fullmatch("[A-Za-z0-9]+", name) for name in names)
                assert len(json.dumps(policy, separators=(",", ":"))) < limit


class TestWiring:
    def test_without_an_oidc_provider_the_pod_comes_by_eks_pod_identity(self) -> None:
        trust = roles(ML_TEAM, "--service-account", "here/me")[OPERATOR]["trustPolicy"]
        pod = {"aws:RequestTag/kubernetes-namespace": "here", "aws:RequestTag/kubernetes-service-account": "me"}
        service = "Service:pods.eks.amazonaws.com"
        assert iam.allowed(trust, iam.Request("sts:TagSession", "*", pod, service))
        other = pod | {"aws:RequestTag/kubernetes-namespace": "there"}
        assert not iam.allowed(trust, iam.Request("sts:AssumeRole", "*", other, service))

    def test_with_one_it_comes_by_its_web_identity(self) -> None:
        found = roles(ML_TEAM, "--cluster-oidc-provider", "https://oidc.eks.us-east-1.amazonaws.com/id/ABC")
        provider = "oidc.eks.us-east-1.amazonaws.com/id/ABC"
        asked = iam.Request(
            "sts:AssumeRoleWithWebIdentity",
            "*",
            {
                f"{provider}:aud": "sts.amazonaws.com",
                f"{provider}:sub": "system:serviceaccount:sft-system:sft-operator",
            },
            f"Federated:arn:aws:iam::111122223333:oidc-provider/{provider}",
        )
        assert iam.allowed(found[OPERATOR]["trustPolicy"], asked)

    def test_the_association_and_the_annotation_are_told(self) -> None:
        answer = setup(ML_TEAM, "--cluster", "prod")
        assert json.loads(answer.stdout)["podIdentityAssociation"] == {
            "clusterName": "prod",
            "namespace": "sft-system",
            "serviceAccount": "sft-operator",
            "roleArn": OPERATOR,
        }
        irsa = setup(ML_TEAM, "--cluster-oidc-provider", "https://x/id/ABC").stderr
        assert f"serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn={OPERATOR}" in irsa


class TestForms:
    def test_cloudformation_makes_whoever_is_trusted_before_who_trusts(self) -> None:
        template = json.loads(setup(ML_TEAM, "--cluster", "prod", "-o", "cloudformation").stdout)
        made = template["Resources"]
        assert {name: part["Type"] for name, part in made.items()} == {
            "Operator": "AWS::IAM::Role",
            "ProfileSftOperatorMlTeam": "AWS::IAM::Role",
            "JobsMlTeamSft": "AWS::IAM::Role",
            "PodIdentity": "AWS::EKS::PodIdentityAssociation",
        }
        assert made["ProfileSftOperatorMlTeam"]["DependsOn"] == ["Operator"]
        assert made["PodIdentity"]["DependsOn"] == ["Operator"]

    def test_every_form_has_the_same_policies(self) -> None:
        found = roles(ML_TEAM)
        template = json.loads(setup(ML_TEAM, "-o", "cloudformation").stdout)
        by_name = {
            part["Properties"]["RoleName"]: part["Properties"]
            for part in template["Resources"].values()
            if part["Type"] == "AWS::IAM::Role"
        }
        encoded = re.findall(r"jsonencode\((\{.*?\n  \})\)", setup(ML_TEAM, "-o", "terraform").stdout, re.DOTALL)
        from_terraform = iter(json.loads(body) for body in encoded)
        for arn, role in found.items():
            made = by_name[arn.rpartition("/")[2]]
            assert made["AssumeRolePolicyDocument"] == role["trustPolicy"] == next(from_terraform)
            assert made["Policies"][0]["PolicyDocument"] == role["policy"] == next(from_terraform)

    def test_terraform_reads_no_expression_out_of_a_policy(self) -> None:
        job = yaml12.dump(nova_lite_2_lora({"dataset.train.uri": "s3://acme-ml-team/a*b.jsonl"}))
        text = setup("-", "-o", "terraform", stdin=job).stdout
        assert "a$${*}b.jsonl" in text
        assert not re.search(r"(?<!\$)\$\{", text)

    def test_a_role_with_a_path_keeps_it(self) -> None:
        allowed = {"roleARNs": ["arn:aws:iam::111122223333:role/ml/jobs"], "uriPrefixes": ["s3://acme/"]}
        text = profile(allowed=allowed)
        made = json.loads(setup("-", "-o", "cloudformation", stdin=text).stdout)["Resources"]["JobsJobs"]["Properties"]
        assert (made["Path"], made["RoleName"]) == ("/ml/", "jobs")


class TestWhatCannotBePrinted:
    def test_runs_in_several_accounts_need_the_operators_arn_and_a_template_for_each(self) -> None:
        answer = setup(ML_TEAM, SHARED)
        assert answer.exit_code == 2
        assert "several accounts (111122223333, 444455556666)" in answer.stderr
        both = (ML_TEAM, SHARED, "--operator-role", OPERATOR)
        assert setup(*both).exit_code == 0
        assert "--account, one of 111122223333, 444455556666" in setup(*both, "-o", "terraform").stderr
        one = setup(*both, "-o", "terraform", "--account", "444455556666")
        assert one.exit_code == 0
        assert '"sft-operator-shared"' in one.stdout
        assert "depends_on" not in one.stdout, "the operator's role is in the other account's template"

    def test_a_job_that_its_profile_does_not_allow_is_told_and_nothing_is_printed(self) -> None:
        job = yaml12.dump(nova_lite_2_lora({"dataset.train.uri": "s3://acme-other/x.jsonl"}))
        answer = setup("-", "-n", "ml-team", stdin=f"{job}---\n{Path(ML_TEAM).read_text()}")
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert "s3://acme-other/x.jsonl is not below an allowed prefix" in answer.stderr

    def test_a_profile_that_tells_no_account_is_asked_for_one(self) -> None:
        answer = setup("-", stdin=profile(allowed={"roleARNs": ["*"], "uriPrefixes": ["s3://acme/"]}))
        assert answer.exit_code == 2
        assert "write the account in one of them" in answer.stderr

    def test_what_makes_a_policy_wide_is_told(self) -> None:
        text = profile(allowed={"roleARNs": ["arn:aws:iam::111122223333:role/j-*"], "uriPrefixes": ["s3://"]})
        told = setup("-", stdin=text).stderr
        assert "its policy is for every region" in told
        assert "its policy is for every bucket" in told
        assert "names no role of jobs by its whole name" in told

    @pytest.mark.parametrize(
        "options",
        [("--operator-role", "arn:aws:iam::1:role/x"), ("--service-account", "sft-operator"), ("--account", "1")],
    )
    def test_an_option_that_cannot_be_meant_is_a_sentence(self, options: tuple[str, str]) -> None:
        answer = setup(ML_TEAM, *options)
        assert answer.exit_code == 2
        assert answer.stderr.splitlines()[-1].startswith(f"sft: {options[0]} {options[1]}: ")
