"""`python -m sft_lab.awssim`: the simulated AWS as a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import re
import signal
import sys

from sft_lab.awssim import server
from sft_lab.awssim.script import PACES
from sft_lab.awssim.simulation import DEFAULT_ACCOUNT


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="awssim", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--pace", choices=sorted(PACES), default="demo", help="how long jobs take: 19 s or 14 min")
    parser.add_argument("--account", default=DEFAULT_ACCOUNT, help="account of callers without one of their own")
    arguments = parser.parse_args(argv)
    if not re.fullmatch(r"\d{12}", arguments.account):
        parser.error(f"--account {arguments.account}: an AWS account id has 12 digits")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(_run(arguments.port, arguments.pace, arguments.account))
    except OSError as error:
        sys.exit(f"awssim: cannot listen on 127.0.0.1:{arguments.port}: {error.strerror}; give another --port")


async def _run(port: int, pace: str, account: str) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.run(port, pace, account, lambda r: print(f"awssim listening on {r.endpoint}", flush=True), ended)


if __name__ == "__main__":
    main()
