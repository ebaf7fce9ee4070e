"""Who may read /metrics: the API server says whose token it is, and whether that user may get the path."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum

from .kube import KubeError

log = logging.getLogger("sft_operator.access")

KEPT_SECONDS = 60.0
KEPT_TOKENS = 100
REVIEWS = 30
"""In KEPT_SECONDS: whoever invents tokens must not make the operator use up its share of the API server."""


class Verdict(Enum):
    """What is answered: HTTP status and text."""

    ALLOWED = (200, "")
    NO_TOKEN = (401, "a bearer token is needed: a ServiceAccount that may get the non-resource URL /metrics")
    DENIED = (403, "this token may not get the non-resource URL /metrics")
    BUSY = (429, "too many unknown tokens; try again in a minute")
    UNKNOWN = (503, "the API server does not say whether this token is good; try again")

    @property
    def status(self) -> int:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"} if self is Verdict.NO_TOKEN else {}


class Access:
    """`review` asks the API server about one token. Its answers are kept for a minute, and of tokens their digests."""

    def __init__(
        self, review: Callable[[str], Awaitable[bool]], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._review, self._monotonic = review, monotonic
        self._known: dict[bytes, tuple[float, Verdict]] = {}
        self._asked: list[float] = []

    async def verdict(self, authorization: str) -> Verdict:
        """On the value of an Authorization header."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return Verdict.NO_TOKEN
        now, digest = self._monotonic(), hashlib.sha256(token.encode()).digest()
        since, known = self._known.get(digest, (0.0, None))
        if known is not None and now - since < KEPT_SECONDS:
            return known
        self._asked = [moment for moment in self._asked if now - moment < KEPT_SECONDS]
        if len(self._asked) >= REVIEWS:
            return Verdict.BUSY
        self._asked.append(now)
        try:
            verdict = Verdict.ALLOWED if await self._review(token) else Verdict.DENIED
        except KubeError as error:
            log.warning("a token for /metrics cannot be reviewed: %s", error)
            return Verdict.UNKNOWN
        self._known[digest] = (now, verdict)
        while len(self._known) > KEPT_TOKENS:
            del self._known[next(iter(self._known))]
        return verdict
