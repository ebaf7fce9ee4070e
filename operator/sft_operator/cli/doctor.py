"""`sft doctor`: tries every permission with a harmless call, and shows which work, which are denied and what is missing."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..api import yaml12
from ..policy.profiles import Profile, parse
from ..recipes.catalogue import default_catalogue
from .doctor_row import Row, Verdict, exit_code, summary, table
from .files import give_up, load
from .scopes import of_manifests, of_profiles
from .terminal import say

if TYPE_CHECKING:
    from .doctor_cluster import Installation


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("-n", "--namespace", default="default", show_default=True, help="Of jobs whose file names none.")
@click.option(
    "--service-account",
    metavar="NAMESPACE/NAME",
    help="Ask the API server about this ServiceAccount, not about who asks; for administrators at a laptop.",
)
@click.option("--data-key", multiple=True, metavar="KEY", help="KMS key that data sets are encrypted with.")
def doctor(
    files: tuple[str, ...],
    namespace: str,
    service_account: str | None,
    data_key: tuple[str, ...],
) -> None:
    """Try every permission that the operator needs, with one harmless call each; nothing is launched or written.

    Works, denied, or unknown; and for what is denied, the statement or rule that is missing. It asks for what the
    SFTProfiles and SFTJobs in FILEs name, without FILEs for the SFTProfiles of the cluster, with the identity that it
    runs with. The operator's settings (SFT_NAMESPACES and the like) are read as the operator reads them.

    \b
    kubectl -n sft-system exec deploy/sft-operator -- sft doctor     # the operator's own
    sft doctor --service-account sft-system/sft-operator job.yaml    # API server: the operator's, AWS: the shell's

    Exit codes: 0 what can be tried works, 1 something is denied, 2 something could not be tried.
    """
    from . import doctor_aws, doctor_cluster

    installation = _installation(_account(service_account))
    manifests = load(files, namespace)
    rows: list[Row] = []
    profiles: list[Profile] = []
    try:
        found = doctor_cluster.examine(installation)
        rows += found.rows
        profiles = [parse(body) for body in found.profiles]
    except doctor_cluster.ClusterError as error:
        rows += doctor_cluster.unanswered(error)
    if manifests:
        claims = of_manifests(manifests, default_catalogue(), known=profiles, data_keys=data_key)
    else:
        claims = of_profiles(profiles, default_catalogue(), data_keys=data_key)
    rows += [_problem(text) for text in claims.problems]
    rows += doctor_aws.examine(claims.all)
    for line in table(rows):
        say(line)
    if not claims.all:
        say("AWS was not asked: there is no SFTProfile and no SFTJob to ask for")
    for line in summary(rows):
        say(line)
    sys.exit(exit_code(rows))


def _installation(account: tuple[str, str] | None) -> Installation:
    """By the operator's settings: from the environment, else from the file that SFT_CONFIG names."""
    from .doctor_cluster import Installation

    path = os.environ.get("SFT_CONFIG")
    try:
        written: Any = yaml12.load(Path(path).read_text(encoding="utf-8"), source=path) if path else {}
    except (OSError, ValueError) as error:
        give_up(f"SFT_CONFIG: {path} cannot be read: {error}")

    def setting(name: str) -> Any:
        return os.environ.get(f"SFT_{name.upper()}") or (written or {}).get(name)

    namespaces = setting("namespaces") or ()
    return Installation(
        namespaces=tuple(filter(None, re.split(r"[,\s]+", namespaces) if isinstance(namespaces, str) else namespaces)),
        leases=setting("leadership") in (None, "Lease"),
        lease_name=setting("lease_name") or "sft-operator",
        lease_namespace=setting("lease_namespace") or (account[0] if account is not None else None),
        metrics_auth=setting("metrics_auth") == "TokenReview",
        service_account=account,
    )


def _account(wanted: str | None) -> tuple[str, str] | None:
    if wanted is None:
        return None
    space, _, name = wanted.partition("/")
    if not space or not name:
        give_up(f"--service-account {wanted}: write namespace/name")
    return space, name


def _problem(text: str) -> Row:
    return Row(part="AWS", verdict=Verdict.UNKNOWN, permission="everything", on="", note=text)
