"""The operator of a version to come, for test_upgrade.py: Python loads this because the folder stands in its PYTHONPATH.
Its jobs have two fields more, one of them with a default; test_upgrade.py's NEXT_CRD has the same."""

from pydantic import Field

from sft_operator.api import sftjob


class SFTJobSpec(sftjob.SFTJobSpec):
    priority: int = Field(5, ge=0, le=9)
    note: str | None = Field(None, max_length=100)


sftjob.SFTJobSpec = SFTJobSpec  # type: ignore[misc]
