"""IAM policies as values: a statement says what it is for, a role has a policy and those whom it trusts. Pure.

Which permissions a platform needs is the platform's; how they are printed is the command line's.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..api.metadata import DOMAIN
from .identity import account_of

Conditions = Mapping[str, Mapping[str, str | Sequence[str]]]

INLINE_LIMIT = 10_240
"""Characters of all inline policies of a role, white space not counted (IAM quotas, not adjustable)."""
TRUST_LIMIT = 2_048
"""Characters of a trust policy (IAM quotas, adjustable)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One permission. `purpose` completes "it is needed to"; `resources` may hold IAM's wildcards, `principal` is set
    in trust policies, which have no resources."""

    sid: str
    purpose: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ()
    conditions: Conditions = field(default_factory=dict)
    principal: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As IAM reads it."""
        return {
            "Sid": self.sid,
            "Effect": "Allow",
            **({"Principal": dict(self.principal)} if self.principal else {}),
            "Action": list(self.actions),
            **({"Resource": list(self.resources)} if self.resources else {}),
            **({"Condition": {how: dict(what) for how, what in self.conditions.items()}} if self.conditions else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role to be made. `key` names it in templates, `title` says in a few words whose it is."""

    key: str
    title: str
    arn: str
    trust: tuple[Statement, ...]
    policy: tuple[Statement, ...]

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def path(self) -> str:
        """IAM's path, "/" for most roles."""
        return f"/{self.arn.partition(':role/')[2].removesuffix(self.name)}"

    @property
    def account(self) -> str:
        return account_of(self.arn)


def policy_document(statements: Iterable[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement.document() for statement in statements]}


def literal(text: str) -> str:
    """The text in a Resource, where * and ? would stand for other characters."""
    return re.sub(r"[*?$]", lambda found: f"${{{found[0]}}}", text)


def covered(resource: str, by: Iterable[str]) -> bool:
    """Whether one of the patterns names everything that `resource` names."""
    return any(fnmatch.fnmatchcase(resource.replace("?", "*"), pattern.replace("[", "[[]")) for pattern in by)


def without_covered(resources: Iterable[str], by: Iterable[str] = ()) -> tuple[str, ...]:
    """Each once, in order, without those that another of them, or of `by`, names already."""
    unique, others = list(dict.fromkeys(resources)), tuple(by)
    return tuple(
        resource
        for resource in unique
        if not covered(resource, (*others, *(other for other in unique if other != resource)))
    )


def assuming(role_arns: Sequence[str]) -> Statement:
    """What the operator's own identity needs for SFTProfiles with `access`."""
    return Statement(
        sid="AssumeProfileRoles",
        purpose="act as the role of an SFTProfile (spec.access), in a session tagged with profile and namespace",
        actions=("sts:AssumeRole", "sts:TagSession"),
        resources=tuple(dict.fromkeys(role_arns)),
    )


def trusted_by_operator(
    operator_arn: str, profiles: Sequence[str], external_ids: Sequence[str]
) -> tuple[Statement, ...]:
    """Trust policy of the role of these profiles."""
    principal = {"AWS": operator_arn}
    tagged = {f"aws:RequestTag/{DOMAIN}/profile": list(profiles)}
    demanded = {"sts:ExternalId": list(external_ids)} if external_ids else {}
    return (
        Statement(
            sid="Operator",
            purpose="let the operator, and nobody else, act as this role, for jobs of these SFTProfiles only",
            actions=("sts:AssumeRole",),
            principal=principal,
            conditions={"StringEquals": {**demanded, **tagged}},
        ),
        Statement(
            sid="OperatorTags",
            purpose="let the operator tag its session with profile and namespace, for CloudTrail and conditions",
            actions=("sts:TagSession",),
            principal=principal,
            conditions={"StringEquals": tagged},
        ),
    )


def web_identity(partition: str, account: str, provider: str, namespace: str, name: str) -> tuple[Statement, ...]:
    """IRSA: trust in a cluster's OIDC provider, for one ServiceAccount. `provider` is its URL without https://."""
    return (
        Statement(
            sid="ServiceAccount",
            purpose="let the operator's ServiceAccount, by the cluster's OIDC provider, act as this role (IRSA)",
            actions=("sts:AssumeRoleWithWebIdentity",),
            principal={"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{provider}"},
            conditions={
                "StringEquals": {
                    f"{provider}:aud": "sts.amazonaws.com",
                    f"{provider}:sub": f"system:serviceaccount:{namespace}:{name}",
                }
            },
        ),
    )


def pod_identity(namespace: str, name: str) -> tuple[Statement, ...]:
    """EKS Pod Identity: trust in its agent, for one ServiceAccount."""
    return (
        Statement(
            sid="ServiceAccount",
            purpose="let the operator's ServiceAccount, by EKS Pod Identity, act as this role",
            actions=("sts:AssumeRole", "sts:TagSession"),
            principal={"Service": "pods.eks.amazonaws.com"},
            conditions={
                "StringEquals": {
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": name,
                }
            },
        ),
    )


def missing(actions: Sequence[str], resource: str) -> str:
    """The statement that a refused call was missing, as JSON on one line: to be pasted."""
    return json.dumps({"Effect": "Allow", "Action": list(actions), "Resource": resource})
