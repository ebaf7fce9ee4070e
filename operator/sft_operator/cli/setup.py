"""`sft setup aws`: prints the IAM roles and policies for the SFTProfiles and SFTJobs given; calls nobody."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence

import click

from ..aws.identity import account_of
from ..aws.policies import INLINE_LIMIT, TRUST_LIMIT, Role, policy_document
from ..recipes.catalogue import default_catalogue
from .files import EXIT_UNUSABLE, give_up, load
from .scopes import Claims, of_manifests
from .setup_render import FORMS, Association
from .setup_roles import Wiring, roles
from .terminal import say

_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+")


@click.group()
def setup() -> None:
    """Print what an installation needs outside of the cluster."""


@setup.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-n", "--namespace", default="default", show_default=True, help="Of jobs whose file names none.")
@click.option(
    "--operator-role",
    default="sft-operator",
    show_default=True,
    metavar="NAME|ARN",
    help="The operator's own role. Its ARN where the profiles' roles are in several accounts.",
)
@click.option(
    "--service-account",
    default="sft-system/sft-operator",
    show_default=True,
    metavar="NAMESPACE/NAME",
    help="The operator's ServiceAccount.",
)
@click.option(
    "--cluster-oidc-provider",
    metavar="URL",
    help="Wire by IRSA, with the cluster's OIDC issuer (aws eks describe-cluster --query "
    "cluster.identity.oidc.issuer). Without it: EKS Pod Identity.",
)
@click.option("--cluster", metavar="NAME", help="EKS cluster, for the association of EKS Pod Identity.")
@click.option(
    "--data-key", multiple=True, metavar="KEY", help="KMS key (ARN, id or alias) that data sets are encrypted with."
)
@click.option("--account", metavar="ID", help="Only the roles of this account.")
@click.option("-o", "--output", type=click.Choice(list(FORMS)), default="json", show_default=True)
def aws(
    files: tuple[str, ...],
    namespace: str,
    operator_role: str,
    service_account: str,
    cluster_oidc_provider: str | None,
    cluster: str | None,
    data_key: tuple[str, ...],
    account: str | None,
    output: str,
) -> None:
    """Print the IAM roles that the SFTProfiles and SFTJobs in FILEs need, and nothing more.

    A profile alone gets policies for all that it allows. Given with jobs, it gets them for exactly these jobs. FILE may
    be - for standard input. AWS is not called; `sft doctor` tries what was set up.

    \b
    sft setup aws profile.yaml --cluster prod -o cloudformation > roles.json
    sft setup aws profile.yaml job.yaml --cluster-oidc-provider https://oidc.eks... -o terraform > roles.tf
    """
    space, _, name = service_account.partition("/")
    if not space or not name:
        give_up(f"--service-account {service_account}: write namespace/name")
    claims = of_manifests(load(files, namespace), default_catalogue(), data_keys=data_key)
    _tell(claims)
    own = _operator_arn(operator_role, claims)
    provider = cluster_oidc_provider.removeprefix("https://").rstrip("/") if cluster_oidc_provider else None
    found = roles(claims.all, own, Wiring(space, name, provider))
    association = Association(cluster, space, name, own) if cluster and provider is None else None
    shown = _of_account(found, account, output)
    if association is not None and account not in (None, account_of(own)):
        association = None
    for problem in _too_long(shown):
        say(f"warning: {problem}", err=True)
    click.echo(FORMS[output](shown, association))
    for step in _next_steps(own, Wiring(space, name, provider), association):
        say(step, err=True)


def _tell(claims: Claims) -> None:
    for note in claims.notes:
        say(f"note: {note}", err=True)
    for problem in claims.problems:
        say(f"error: {problem}", err=True)
    if claims.problems or not claims.all:
        sys.exit(EXIT_UNUSABLE)
    for claim in claims.all:
        if not claim.job_roles:
            say(
                f"note: {claim.scope.source} names no role of jobs by its whole name, so none is printed: give it a "
                "default (defaults.sageMaker.roleARN), or give a job that names one",
                err=True,
            )


def _operator_arn(wanted: str, claims: Claims) -> str:
    if _ROLE_ARN.fullmatch(wanted):
        return wanted
    if wanted.startswith("arn:") or not re.fullmatch(r"[\w+=,.@-]{1,64}", wanted):
        give_up(f"--operator-role {wanted}: neither a role's name nor its ARN (arn:aws:iam::ACCOUNT:role/NAME)")
    accounts = {(claim.scope.partition, claim.scope.account) for claim in claims.all}
    if len(accounts) > 1:
        names = ", ".join(sorted(account for _, account in accounts))
        give_up(f"the runs are in several accounts ({names}): give --operator-role the ARN of the operator's role")
    [(partition, account)] = accounts
    return f"arn:{partition}:iam::{account}:role/{wanted}"


def _of_account(found: Sequence[Role], account: str | None, output: str) -> tuple[Role, ...]:
    accounts = sorted({role.account for role in found})
    if account is None and output != "json" and len(accounts) > 1:
        give_up(f"the roles are in several accounts: print each with --account, one of {', '.join(accounts)}")
    if account is not None and account not in accounts:
        give_up(f"--account {account}: there are roles in {', '.join(accounts)}")
    return tuple(role for role in found if account in (None, role.account))


def _too_long(found: Sequence[Role]) -> list[str]:
    def size(document: object) -> int:
        return len(json.dumps(document, separators=(",", ":")))

    return [
        f"the {what} of {role.name} has {length} characters, IAM takes {limit}: {advice}"
        for role in found
        for what, document, limit, advice in (
            ("policy", policy_document(role.policy), INLINE_LIMIT, "give profiles alone, or a role for each"),
            ("trust policy", policy_document(role.trust), TRUST_LIMIT, "use a role for each profile"),
        )
        if (length := size(document)) > limit
    ]


def _next_steps(own: str, wiring: Wiring, association: Association | None) -> list[str]:
    annotation = "serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn"
    if wiring.oidc_provider is not None:
        return [f"next: create the roles, helm upgrade ... --set '{annotation}={own}', then sft doctor"]
    if association is not None:
        return ["next: create the roles and the association, restart the operator, then sft doctor"]
    return [
        "next: create the roles, then aws eks create-pod-identity-association --cluster-name CLUSTER --namespace "
        f"{wiring.namespace} --service-account {wiring.service_account} --role-arn {own} (or give --cluster)"
    ]
