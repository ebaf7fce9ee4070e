"""What each reason means and what to do: docs/reasons.md is generated from this table."""

from __future__ import annotations

from .reasons import Reason

GUIDE: dict[Reason, tuple[str, str]] = {
    # refusals that end the run
    Reason.INVALID_SPEC: (
        "The spec, the recipe or a value in it cannot be launched; the message names the field. Nothing was launched.",
        "Correct the field and set a new `runID`, or apply under a new name. `sft validate FILE` says the same offline.",
    ),
    Reason.DATASET_INVALID: (
        "Rows of the data set are not what the model takes; file, line and fault are in the message and in "
        "`status.dataset.errors`. Nothing was launched.",
        "Correct the file and set a new `runID`. `dataset.check: Warn` launches in spite of wrong rows.",
    ),
    Reason.NAME_CONFLICT: (
        "A job of the computed name exists on AWS and belongs to somebody else: another identity scope, namespace or "
        "name. It is left alone.",
        "Look at its tags; give each environment its own `SFT_IDENTITY_SCOPE`. A new `runID` makes a new name.",
    ),
    # refusals that wait
    Reason.POLICY_DENIED: (
        "The SFTProfile of the namespace does not allow what the job names, or no single one serves the namespace; the "
        "message names the field, the value and the rule. Nothing is launched; a run that may have been launched before the "
        "profile was edited is looked for.",
        "Correct the job, or ask the platform team: it goes on by itself when the profile allows it, until "
        "`pendingDeadline`. See [profiles.md](profiles.md).",
    ),
    Reason.OPERATOR_TOO_OLD: (
        "The resource has a field that this operator does not know: the CRD is newer than the operator. Nothing is "
        "launched without it; what runs is followed.",
        "Upgrade the operator (docs/upgrading.md), or take the field away; it is looked at again by itself.",
    ),
    Reason.DATASET_UNREADABLE: (
        "A data object is missing or may not be read; the message carries the policy statement that is missing.",
        "Put the object there or grant the statement; it is tried again by itself until `pendingDeadline`.",
    ),
    Reason.ROLE_NOT_USABLE: (
        "The role of the job is of another account than the operator's credentials, or SageMaker cannot assume it.",
        "Use a role of the operator's account that trusts sagemaker.amazonaws.com; it is tried again by itself.",
    ),
    Reason.ACCESS_DENIED: (
        "AWS denies the operator or the job's role something; the message names it.",
        "Grant it; it is tried again by itself until `pendingDeadline`.",
    ),
    Reason.QUOTA_EXCEEDED: (
        "The account's quota for the instance type is used up.",
        "Wait for other jobs to end, or ask AWS for more; it is tried again by itself until `pendingDeadline`.",
    ),
    Reason.CAPACITY_UNAVAILABLE: (
        "AWS has no such instances free at the moment.",
        "`backoffLimit` makes new attempts; another instance type or region may have some.",
    ),
    Reason.CONCURRENCY_LIMIT: (
        "The SFTProfile has as many runs as it may have at a time (`maxConcurrentRuns`); `status.queuePosition` is the "
        "job's place in the line, 1 is next.",
        "Wait: it goes by itself, first come first served. The platform team may raise the limit.",
    ),
    Reason.LAUNCHES_PAUSED: (
        "The platform team has paused launches (`pauseLaunches` of the SFTProfile or of the installation). Runs that "
        "are going on are not touched.",
        "Wait: it goes on by itself when launches are resumed; `pendingDeadline` counts meanwhile and may be raised.",
    ),
    Reason.THROTTLED: ("AWS asks for fewer calls.", "Nothing: the operator slows down and tries again."),
    Reason.SERVICE_UNAVAILABLE: (
        "An internal error of the service, or no answer from it.",
        "While waiting: nothing, it is tried again. As the end of a run: `backoffLimit` makes new attempts.",
    ),
    # ends
    Reason.PENDING_DEADLINE_EXCEEDED: (
        "The job could not be launched within `runPolicy.pendingDeadline`; the message tells what stood in the way.",
        "Remove that, then set a new `runID`.",
    ),
    Reason.DEADLINE_EXCEEDED: (
        "The training reached `runPolicy.maxRuntime` and was stopped.",
        "Give it longer, or fewer steps, and set a new `runID`.",
    ),
    Reason.SPOT_INTERRUPTED: (
        "Spot instances were taken away. Seen only on jobs that were launched elsewhere: spot is not offered yet.",
        "Set a new `runID`.",
    ),
    Reason.ALGORITHM_ERROR: (
        "The training itself failed; `status.failure` has its message and the end of the log.",
        "Read the log tail; correct data or hyperparameters and set a new `runID`.",
    ),
    Reason.OUT_OF_MEMORY: (
        "The training ran out of memory.",
        "A smaller `globalBatchSize` or `maxLength`, or larger instances; then a new `runID`.",
    ),
    Reason.IMAGE_PULL_FAILED: (
        "The training image could not be fetched.",
        "Check `sageMaker.training.image`, its region and the role's rights on it.",
    ),
    Reason.STOPPED_BY_USER: (
        "The run was stopped: by `runPolicy.stop`, by a new `runID`, or outside of Kubernetes.",
        "Set a new `runID` to run again.",
    ),
    Reason.RESULT_MISSING: (
        "The run completed, but its result could not be read: a warning on a job that Succeeded.",
        "`status.artifacts.checkpointMessage` says why; look at `status.artifacts.output`.",
    ),
    Reason.ADOPTED_FINISHED_RUN: (
        "A run with the same settings had completed before, under an earlier resource of this name: its result was "
        "taken and nothing was launched.",
        "Nothing. To train again on purpose set a new `runID`.",
    ),
    Reason.LOST: (
        "AWS no longer knows the job and its end was never seen.",
        "Look in CloudTrail who deleted it; set a new `runID` to run again.",
    ),
    # conditions of a run that is well
    Reason.ACCEPTED: ("Checked, or accepted by the platform.", "Nothing."),
    Reason.ADOPTED: ("The job existed already, is ours, and is followed.", "Nothing."),
    Reason.CHECKING: ("The spec or the data is being checked.", "Nothing."),
    Reason.CHECK_SKIPPED: ("The data was not read because `dataset.check` is Skip.", "Nothing."),
    Reason.CHECK_WARNED: ("Rows are wrong, and `dataset.check: Warn` launched all the same.", "See `status.dataset`."),
    Reason.IN_PROGRESS: ("Not yet.", "Nothing."),
    Reason.SUCCEEDED: ("The run completed.", "Nothing."),
    Reason.SUSPENDED: ("`runPolicy.suspend` is true.", "Set it to false to go on."),
    Reason.RESUMED: ("`runPolicy.suspend` was true and is false again.", "Nothing."),
    Reason.STOPPING: ("The run is being stopped.", "Nothing: its end is awaited."),
    Reason.REACHABLE: ("The last look at the platform succeeded.", "Nothing."),
    Reason.INPUTS_CHANGED: (
        "What lies outside of the spec (a data object, the catalogue) is no longer what the run was launched with. The "
        "run is not touched.",
        "To train on the new inputs set a new `runID`.",
    ),
    Reason.UNCHANGED: ("What the run was launched with still stands.", "Nothing."),
    Reason.SETTLED: ("No longer a question.", "Nothing."),
}


def page() -> str:
    """docs/reasons.md."""
    rows = "\n".join(f"| `{reason}` | {meaning} | {action} |" for reason, (meaning, action) in GUIDE.items())
    return (
        "# Reasons\n\nEvery reason that a condition, `status.reason` or `status.failure` can carry. "
        "Generated from `operator/sft_operator/api/reason_guide.py`.\n\n"
        f"| reason | what it means | what to do |\n|---|---|---|\n{rows}\n"
    )
