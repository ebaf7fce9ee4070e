"""The `sft` command (also `kubectl sft`): the group, and what checks and shows jobs without a cluster and without AWS."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from .. import __version__
from ..api import yaml12
from ..api.sftjob import SFTJobSpec
from ..api.sftprofile import SFTProfileSpec
from ..api.status import DatasetStatus
from ..platforms.base import Plan, Refusal
from ..policy.profiles import Profile
from .doctor import doctor
from .files import load
from .manifest import Manifest
from .ruled import profiles_of, ruled
from .setup import setup
from .terminal import say

EXIT_REFUSED = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sft")
def main() -> None:
    """Supervised fine-tuning jobs on Kubernetes: check a job, see what it would launch, set up AWS, see what is missing.

    Exit codes: 0 all is well, 1 a job is refused or a permission is missing, 2 a file cannot be read or the command is
    wrong.
    """


main.add_command(setup)
main.add_command(doctor)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--rows", type=click.IntRange(1), metavar="N", help="Training rows, where epochs need them."),
        click.option(
            "--identity-scope",
            envvar="SFT_IDENTITY_SCOPE",
            default="local",
            show_default=True,
            metavar="NAME",
            help="The operator's SFT_IDENTITY_SCOPE: it is part of the job's name on AWS.",
        ),
        click.option("-n", "--namespace", default="default", show_default=True, help="Where the file names none."),
        click.argument("files", nargs=-1, required=True, metavar="FILE..."),
    ):
        command = option(command)
    return command


@main.command()
@_options
def validate(files: tuple[str, ...], namespace: str, identity_scope: str, rows: int | None) -> None:
    """Check SFTJobs as the operator would before it reads any data. FILE may be - for standard input.

    A job that leaves something to its SFTProfile is checked with the profiles that are among the files.
    """
    refused = False
    for manifest, planned in _planned(files, namespace, identity_scope, rows):
        findings = [*manifest.findings]
        if isinstance(planned, Refusal):
            findings += planned.findings
        elif planned is not None:
            findings += planned.warnings
        bad = manifest.findings or isinstance(planned, Refusal)
        refused = refused or bool(bad)
        say(f"{manifest.source}: {manifest.name or '(no name)'}: {'refused' if bad else 'valid'}")
        for finding in findings:
            say(f"  {finding.severity}: {finding}")
    sys.exit(EXIT_REFUSED if refused else 0)


@main.command()
@_options
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def render(files: tuple[str, ...], namespace: str, identity_scope: str, rows: int | None, output: str) -> None:
    """Print the exact request that a launch would send, and the recipe that it would upload. Calls nobody.

    A job that leaves something to its SFTProfile is planned with the profiles that are among the files.
    """
    documents: list[dict[str, Any]] = []
    refused = False
    for manifest, planned in _planned(files, namespace, identity_scope, rows):
        if isinstance(manifest.spec, SFTProfileSpec):
            continue
        if not isinstance(planned, Plan):
            refused = True
            for finding in (*manifest.findings, *(planned.findings if planned else ())):
                say(f"{manifest.source}: {manifest.name}: {finding}", err=True)
            continue
        for warning in planned.warnings:
            say(f"{manifest.source}: {manifest.name}: warning: {warning}", err=True)
        documents.append(_document(manifest, planned))
    if output == "json":
        import json

        click.echo(json.dumps(documents, indent=2))
    else:
        click.echo("---\n".join(yaml12.dump(document, shown=True) for document in documents), nl=False)
    sys.exit(EXIT_REFUSED if refused else 0)


def _document(manifest: Manifest, plan: Plan) -> dict[str, Any]:
    return {
        "job": f"{manifest.namespace}/{manifest.name}",
        "platform": plan.platform,
        "region": plan.place.region,
        "request": dict(plan.request),
        "uploads": [
            {"uri": upload.uri, "content": yaml12.load(upload.body.decode(), source=upload.uri)}
            for upload in plan.uploads
        ],
        "maxInstanceHours": plan.max_instance_hours,
    }


def _planned(
    files: tuple[str, ...], namespace: str, identity_scope: str, rows: int | None
) -> list[tuple[Manifest, Plan | Refusal | None]]:
    """Every job of the files with its plan, or why there is none (None: the manifest itself is wrong, or a profile's).
    The SFTProfiles among the files count as all there are."""
    manifests = load(files, namespace)
    profiles = profiles_of(manifests)
    facts = DatasetStatus(rows=rows) if rows else None
    return [
        (m, _plan(m, m.spec, profiles, facts, identity_scope) if isinstance(m.spec, SFTJobSpec) else None)
        for m in manifests
    ]


def _plan(
    manifest: Manifest,
    spec: SFTJobSpec,
    profiles: list[Profile],
    facts: DatasetStatus | None,
    identity_scope: str,
) -> Plan | Refusal:
    from ..platforms.sagemaker.plan import make_plan
    from ..recipes.catalogue import default_catalogue

    found = ruled(manifest, spec, profiles, identity_scope=identity_scope)
    if isinstance(found, Refusal):
        return found
    ruling, view = found
    plan = make_plan(view, facts, default_catalogue())
    return plan if isinstance(plan, Refusal) else ruling.refuses(plan) or plan
