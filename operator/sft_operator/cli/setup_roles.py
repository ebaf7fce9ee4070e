"""The IAM roles of an installation: the operator's, one for each SFTProfile with access, one for each role of jobs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..aws.identity import account_of, partition_of
from ..aws.policies import Role, Statement, assuming, pod_identity, trusted_by_operator, web_identity
from ..platforms.sagemaker.permissions import job_role, operator, trusted_by_sagemaker
from .scopes import Claim


@dataclass(frozen=True, slots=True)
class Wiring:
    """How the operator's pod comes by its role: by the cluster's OIDC provider (IRSA), else by EKS Pod Identity."""

    namespace: str
    service_account: str
    oidc_provider: str | None = None

    def trust(self, operator_arn: str) -> tuple[Statement, ...]:
        if self.oidc_provider is None:
            return pod_identity(self.namespace, self.service_account)
        account, partition = account_of(operator_arn), partition_of(operator_arn)
        return web_identity(partition, account, self.oidc_provider, self.namespace, self.service_account)


def operator_policy(claims: Sequence[Claim]) -> tuple[Statement, ...]:
    """Of the operator's own identity: it acts itself where a profile has no access, else it assumes the profile's role."""
    own = [claim.scope for claim in claims if claim.access is None]
    assumed = [claim.access.role_arn for claim in claims if claim.access is not None]
    return (*(operator(own) if own else ()), *((assuming(assumed),) if assumed else ()))


def roles(claims: Sequence[Claim], operator_arn: str, wiring: Wiring) -> tuple[Role, ...]:
    """Whoever trusts a role stands after it: IAM refuses a trust policy that names a role which does not exist."""
    own = Role(
        key="operator",
        title="the operator's own identity",
        arn=operator_arn,
        trust=wiring.trust(operator_arn),
        policy=operator_policy(claims),
    )
    return (own, *_profile_roles(claims, operator_arn), *_job_roles(claims))


def _profile_roles(claims: Sequence[Claim], operator_arn: str) -> tuple[Role, ...]:
    accesses = [claim.access for claim in claims if claim.access is not None]
    found = []
    for arn in dict.fromkeys(access.role_arn for access in accesses):
        mine = [access for access in accesses if access.role_arn == arn]
        profiles = tuple(dict.fromkeys(access.profile for access in mine))
        external = tuple(dict.fromkeys(access.external_id for access in mine if access.external_id is not None))
        everyone = all(access.external_id is not None for access in mine)
        found.append(
            Role(
                key=f"profile-{_name(arn)}",
                title=f"whom the operator acts as for SFTProfile {', '.join(profiles)}",
                arn=arn,
                trust=trusted_by_operator(operator_arn, profiles, external if everyone else ()),
                policy=operator([c.scope for c in claims if c.access is not None and c.access.role_arn == arn]),
            )
        )
    return tuple(found)


def _job_roles(claims: Sequence[Claim]) -> tuple[Role, ...]:
    return tuple(
        Role(
            key=f"jobs-{_name(arn)}",
            title=f"the role of training jobs of {', '.join(c.scope.source for c in claims if arn in c.job_roles)}",
            arn=arn,
            trust=trusted_by_sagemaker(account_of(arn)),
            policy=job_role([claim.scope for claim in claims if arn in claim.job_roles]),
        )
        for arn in dict.fromkeys(arn for claim in claims for arn in claim.job_roles)
    )


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]
