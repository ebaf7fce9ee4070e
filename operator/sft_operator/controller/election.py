"""When a replica may take the Lease, and for how long it may act on it: rules and figures only, no call and no clock.

Every `now` is this machine's own clock that counts since its start. What stands in the Lease was written by another
machine's clock: it is compared for change and never read as a time, so a clock that is wrong by an hour decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

RENEW_EVERY = 2.0
"""Between two renewals by the leader."""
LOOK_EVERY = 0.5
"""Between two looks of a replica that stands by: so much later than it happened may the last renewal be noticed."""
RETRY_AFTER = 0.5
"""After a renewal that was not answered."""
CALL_SECONDS = 2.0
"""For one call of the API server about the Lease."""
MARGIN = 5.0
"""Between the end of a leader that could not renew and the instant in which another may lead."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says. An empty holder has released it; `stamp` changes with every renewal."""

    holder: str
    seconds: float | None
    stamp: str


class Candidate:
    """One replica in the election. Times are seconds.

    It leads from the start of its last write that was answered, for `duration`; the others count the same duration from
    the instant in which they saw that write, which is later.
    """

    def __init__(self, identity: str, duration: float) -> None:
        self.identity, self.duration = identity, duration
        self._record: Record | None = None
        self._changed = 0.0
        self._held: float | None = None
        self._closed = False

    @property
    def leader(self) -> str:
        """Whom the Lease named when it was last seen; empty when nobody."""
        return self._record.holder if self._record else ""

    def saw(self, record: Record | None, now: float) -> None:
        """Takes what the Lease said; None where there is none."""
        if record is None and self._record is not None and self._record.holder:
            # deleted by hand: its holder does not know yet, and writes it anew or ends
            record = Record(self._record.holder, self._record.seconds, "deleted")
        if record != self._record:
            self._record, self._changed = record, now

    def may_take(self, now: float) -> bool:
        """Whether nobody else leads."""
        return self._expires() <= now

    def look_after(self, now: float) -> float:
        """Until the next look of a replica that stands by."""
        return min(LOOK_EVERY, max(0.0, self._expires() - now))

    def _expires(self) -> float:
        record = self._record
        if record is None or record.holder in ("", self.identity):
            return float("-inf")
        return self._changed + (record.seconds or self.duration)

    def holds(self, began: float) -> None:
        """A write of ours that was sent at `began` has been answered."""
        self._held = began

    def resigns(self) -> None:
        """Nothing more is done in the name of the Lease; it is held until it is released or runs out."""
        self._closed = True

    def left(self, now: float) -> float:
        """Until another may lead; 0 or less when this replica may not act."""
        return 0.0 if self._held is None or self._closed else self._held + self.duration - now

    def overdue(self, now: float) -> bool:
        """Whether this replica has led, and must have ended by now."""
        return self._held is not None and now >= self._held + self.duration - MARGIN
