"""`python -m sft_operator`: the operator's process."""

from __future__ import annotations

import asyncio
import sys

from pydantic import ValidationError

from . import __version__
from .controller import logs
from .controller.app import run
from .controller.kube import StartError
from .controller.settings import ConfigFileError, Settings
from .recipes.tables import TableError


def main() -> int:
    if "--version" in sys.argv[1:]:
        print(__version__)  # noqa: T201
        return 0
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "SFT_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"sft-operator: {name}: {problem['msg']} (docs/configuration.md)", file=sys.stderr)  # noqa: T201
        return 2
    except ConfigFileError as error:
        print(f"sft-operator: {error} (docs/configuration.md)", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(settings.log_level, settings.log_format)
    try:
        return asyncio.run(run(settings))
    except (StartError, TableError, OSError) as error:
        print(f"sft-operator: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
