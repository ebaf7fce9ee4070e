"""What pydantic found wrong with a spec, in one sentence for people."""

from __future__ import annotations

from pydantic import ValidationError


def sentences(error: ValidationError) -> str:
    """`spec.<path>: <what>`, joined by semicolons."""
    return "; ".join(
        f"spec.{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False)
    )
