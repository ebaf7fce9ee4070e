"""What a replica of test_leadership.py can be made to suffer from within: Python loads this because the folder stands in
its PYTHONPATH. A clock that is wrong by TEST_CLOCK_SHIFT seconds; an event loop that is blocked by SIGUSR1."""

import datetime
import os
import signal
import time

BLOCKED_SECONDS = 60
SHIFT = float(os.environ.get("TEST_CLOCK_SHIFT", "0"))

if SHIFT:
    right_time, right_datetime = time.time, datetime.datetime

    class _AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, right_datetime)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, right_datetime)

    class WrongDatetime(right_datetime, metaclass=_AnyDatetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return right_datetime.now(tz) + datetime.timedelta(seconds=SHIFT)

    time.time = lambda: right_time() + SHIFT
    datetime.datetime = WrongDatetime

# a signal's handler runs in the main thread, where the event loop is
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(BLOCKED_SECONDS))
