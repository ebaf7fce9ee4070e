"""What an installation can set about SageMaker; names no setting's source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SageMakerSettings:
    """Times in seconds."""

    sweep_interval: float = 30.0
    full_sweep_interval: float = 600.0
    sweep_overlap: float = 120.0
    """LastModifiedTime of what is listed may lie this far behind the newest one seen."""
    new_run_pause: float = 5.0
    """A sweep of several runs is brought forward for a new one, but follows the last by at least this."""
    not_found_grace: float = 60.0
    """A job may be unknown for so long after its create was answered."""
    log_interval: float = 60.0
    """Least time between two reads of one job's log."""
    log_lines: int = 100
    tick: float = 1.0
    """How often the set of runs is compared; no call is made for it."""
    check_processes: int = 2
    check_idle: float = 60.0
    """A process that checks data ends after so long without work."""
