"""Log lines: JSON with the job and run they are about, or text for people."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from ..api.neutral import neutral

job: ContextVar[str | None] = ContextVar("job", default=None)
run: ContextVar[str | None] = ContextVar("run", default=None)


_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""What every record has; the rest was given as `extra` and belongs to the line."""


def _given(record: logging.LogRecord) -> dict[str, str]:
    return {name: str(value) for name, value in vars(record).items() if name not in _OWN}


class JSONFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and job and run where there are some. A line with characters
    that do not print is written in ASCII, which loses nothing and which no terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, variable in (("job", job), ("run", run)):
            if value := getattr(record, name, None) or variable.get():
                line[name] = value
        line |= {name: value for name, value in _given(record).items() if name not in line}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False)
        return text if text.isprintable() else json.dumps(line)


class TextFormatter(logging.Formatter):
    """One line for people; an error's lines follow it, set in, so that no text of others can look like a line of ours."""

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        given = _given(record)
        about = f" [{job.get()}]" if job.get() else ""
        about += f" ({', '.join(f'{name} {value}' for name, value in given.items())})" if given else ""
        lines = [f"{clock} {record.levelname:7} {record.getMessage()}{about}"]
        if record.exc_info:
            lines += [f"    {line}" for line in self.formatException(record.exc_info).split("\n")]
        return "\n".join(map(neutral, lines))


def configure(level: str, style: Literal["json", "text"]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # kopf tells of every event it hands over and warns of what watching.py tells in our words; botocore of every retry
    logging.getLogger("kopf").setLevel(logging.ERROR)
    for chatty in ("botocore", "urllib3", "boto3", "asyncio", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
