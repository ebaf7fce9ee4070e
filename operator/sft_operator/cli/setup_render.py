"""Roles as JSON, as a CloudFormation template and as Terraform. Pure; AWS is not asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aws.policies import Role, policy_document

_POLICY_NAME = "sft-operator"


@dataclass(frozen=True, slots=True)
class Association:
    """What ties a ServiceAccount to a role with EKS Pod Identity."""

    cluster: str
    namespace: str
    service_account: str
    role_arn: str


def as_json(roles: Sequence[Role], association: Association | None) -> str:
    """Roles with both policies each."""
    shown: dict[str, Any] = {
        "roles": [
            {
                "role": role.arn,
                "for": role.title,
                "trustPolicy": policy_document(role.trust),
                "policy": policy_document(role.policy),
            }
            for role in roles
        ]
    }
    if association is not None:
        shown["podIdentityAssociation"] = {
            "clusterName": association.cluster,
            "namespace": association.namespace,
            "serviceAccount": association.service_account,
            "roleArn": association.role_arn,
        }
    return _json(shown)


def cloudformation(roles: Sequence[Role], association: Association | None) -> str:
    """A template in JSON; it needs CAPABILITY_NAMED_IAM."""
    resources = {_logical(role.key): _cloudformation_role(role, roles) for role in roles}
    if association is not None:
        resources["PodIdentity"] = {
            "Type": "AWS::EKS::PodIdentityAssociation",
            "Properties": {
                "ClusterName": association.cluster,
                "Namespace": association.namespace,
                "ServiceAccount": association.service_account,
                "RoleArn": association.role_arn,
            },
            **_after([_logical(role.key) for role in roles if role.arn == association.role_arn]),
        }
    return _json(
        {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": f"IAM roles of sft-operator in account {roles[0].account}",
            "Resources": resources,
        }
    )


def _cloudformation_role(role: Role, roles: Sequence[Role]) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": role.name,
            "Path": role.path,
            "Description": _description(role),
            "AssumeRolePolicyDocument": policy_document(role.trust),
            "Policies": [{"PolicyName": _POLICY_NAME, "PolicyDocument": policy_document(role.policy)}],
        },
        **_after([_logical(other.key) for other in _trusted(role, roles)]),
    }


def _after(logical: list[str]) -> dict[str, Any]:
    return {"DependsOn": logical} if logical else {}


def terraform(roles: Sequence[Role], association: Association | None) -> str:
    """Resources of the hashicorp/aws provider, which is to be configured for the account."""
    blocks = [block for role in roles for block in _terraform_role(role, roles)]
    if association is not None:
        blocks.append(
            _block(
                "aws_eks_pod_identity_association",
                "operator",
                cluster_name=_text(association.cluster),
                namespace=_text(association.namespace),
                service_account=_text(association.service_account),
                role_arn=next(
                    (f"aws_iam_role.{_label(r.key)}.arn" for r in roles if r.arn == association.role_arn),
                    _text(association.role_arn),
                ),
            )
        )
    return "\n\n".join(blocks)


def _terraform_role(role: Role, roles: Sequence[Role]) -> list[str]:
    label, trusted = _label(role.key), [f"aws_iam_role.{_label(other.key)}" for other in _trusted(role, roles)]
    return [
        _block(
            "aws_iam_role",
            label,
            name=_text(role.name),
            path=_text(role.path),
            description=_text(_description(role)),
            assume_role_policy=_encoded(policy_document(role.trust)),
            **({"depends_on": f"[{', '.join(trusted)}]"} if trusted else {}),
        ),
        _block(
            "aws_iam_role_policy",
            label,
            name=_text(_POLICY_NAME),
            role=f"aws_iam_role.{label}.id",
            policy=_encoded(policy_document(role.policy)),
        ),
    ]


def _block(kind: str, label: str, **arguments: str) -> str:
    width = max(map(len, arguments))
    lines = "\n".join(f"  {name.ljust(width)} = {value}" for name, value in arguments.items())
    return f'resource "{kind}" "{label}" {{\n{lines}\n}}'


def _encoded(document: Mapping[str, Any]) -> str:
    body = _literal(_json(document)).replace("\n", "\n  ")
    return f"jsonencode({body})"


def _text(value: str) -> str:
    return _literal(json.dumps(value))


def _literal(text: str) -> str:
    """Terraform reads ${ and %{ in a text as the beginning of an expression."""
    return text.replace("${", "$${").replace("%{", "%%{")


def _trusted(role: Role, roles: Sequence[Role]) -> list[Role]:
    """Those of the roles that the role's trust policy names."""
    named = {statement.principal.get("AWS") for statement in role.trust}
    return [other for other in roles if other.arn in named]


def _description(role: Role) -> str:
    """IAM takes up to 1000 characters, of Latin-1 only."""
    return f"sft-operator: {role.title}"[:1000]


def _logical(key: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", key))


def _label(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", key)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2)


FORMS: Mapping[str, Callable[[Sequence[Role], Association | None], str]] = {
    "json": as_json,
    "cloudformation": cloudformation,
    "terraform": terraform,
}
