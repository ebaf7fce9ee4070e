"""What the commands of sft print for people; files and AWS put words into it, so every line goes out neutral."""

from __future__ import annotations

import click

from ..api.neutral import neutral


def say(line: str, *, err: bool = False) -> None:
    """Prints one line; a line break inside is a space, so that no file can write a line of ours."""
    click.echo(neutral(line), err=err)
