"""The `sft-lab` command: reads arguments and prints; the work is in cluster/ and awssim/."""

import os
import signal
import time
from pathlib import Path
from types import FrameType

import click

from .cluster.binaries import BinaryMissingError, Finder, Sources
from .cluster.lab import Lab, LabError, lab_status, stop_lab
from .cluster.startup import start_lab

directory_option = click.option(
    "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the lab."
)
pace_option = click.option(
    "--pace",
    type=click.Choice(["demo", "real"]),
    default="demo",
    show_default=True,
    help="How long simulated training jobs take: seconds, or minutes as on AWS.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A Kubernetes control plane and a simulated AWS on this machine, for trying and testing the operator."""
    # As Ctrl-C does: half-started programs and running builds are ended on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end_by_signal)


def _end_by_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@main.command()
@directory_option
@pace_option
@click.option("--identity-scope", default="lab", show_default=True, metavar="NAME", help="SFT_IDENTITY_SCOPE.")
@click.option("--without-aws", is_flag=True, help="Leave the simulated AWS out.")
@click.option(
    "--with-operator", is_flag=True, help="Install the chart, upload the examples' data and start the operator too."
)
def up(directory: Path, pace: str, identity_scope: str, without_aws: bool, with_operator: bool) -> None:
    """Start a lab in a folder and return when it is ready; it begins empty."""
    if with_operator and without_aws:
        raise click.UsageError("--with-operator needs the simulated AWS: leave --without-aws out")
    began = time.monotonic()
    try:
        lab = start_lab(directory, pace=pace, identity_scope=identity_scope, aws=not without_aws)
        if with_operator:
            _run_operator(lab)
    except (LabError, BinaryMissingError, OSError, TimeoutError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"lab is up in {lab.layout.root} ({time.monotonic() - began:.1f} s)")
    _print_addresses(lab)
    if with_operator:
        click.echo(f"  operator     its log: {lab.layout.logs}/operator.log")
    click.echo(f"  use it       . {lab.layout.shell_env}")
    if with_operator:
        click.echo("               kubectl apply -f examples/nova-lite-2-lora.yaml && kubectl get sft -w")
    else:
        click.echo("  next         the CRDs are not installed yet; from the root of the checkout:")
        click.echo(
            "               kubectl apply --server-side -f crds/ && kubectl apply -f examples/profiles/ml-team.yaml"
        )
        click.echo("               python -m sft_operator")
    click.echo(f"  end it       sft-lab down --dir {lab.layout.root}")


def _run_operator(lab: Lab) -> None:
    from . import installation, quickstart  # boto3 and rich, which no other command should wait for

    if "operator" in lab.programs and lab.programs["operator"].pid() is not None:
        return
    quickstart.prepare(lab)
    installation.start_operator(lab).wait_ready()


@main.command(name="quickstart")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the lab, kept afterwards for a look; a temporary one by default.",
)
def tour(directory: Path | None) -> None:
    """Show one job from apply to result, one refused and one failed, on this machine; everything ends with it."""
    from . import quickstart

    try:
        quickstart.run(directory)
    except (LabError, BinaryMissingError, OSError, TimeoutError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@directory_option
def down(directory: Path) -> None:
    """End a lab, however far it came; its logs stay. Safe to repeat."""
    try:
        ended = stop_lab(directory)
    except (LabError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"ended {', '.join(ended)}" if ended else f"nothing of a lab runs in {directory}")


@main.command()
@directory_option
@click.pass_context
def status(context: click.Context, directory: Path) -> None:
    """Show what of a lab runs; exit code 1 unless all of it does."""
    programs = lab_status(directory)
    for name, pid in programs.items():
        click.echo(f"  {name:<24} " + (f"running, pid {pid}" if pid else f"ended; see {directory}/logs/{name}.log"))
    if programs and all(programs.values()):
        _print_addresses(Lab(directory))
        return
    if not programs:
        click.echo(f"no lab is up in {directory}: start one with `sft-lab up --dir {directory}`")
    context.exit(1)


@main.command()
def binaries() -> None:
    """Find, download or build the programs of the lab, and print where each came from."""
    try:
        found = Finder(Sources.of(os.environ)).find_all()
    except (BinaryMissingError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for program in found.values():
        click.echo(f"{program.name:<24} {program.version:<8} {program.origin:<18} {program.path}")


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Port on loopback; 0: a free one.")
@pace_option
def aws(port: int, pace: str) -> None:
    """Run the simulated AWS alone, in the foreground, until Ctrl-C."""
    from .awssim.__main__ import main as awssim  # its imports take seconds that no other command should wait for

    awssim([f"--port={port}", f"--pace={pace}"])


def _print_addresses(lab: Lab) -> None:
    click.echo(f"  API server   https://127.0.0.1:{lab.ports['kube-apiserver']}")
    if lab.aws_endpoint:
        click.echo(f"  AWS          {lab.aws_endpoint}")
