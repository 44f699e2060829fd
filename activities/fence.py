"""The fence around money: an envelope may be spent only by the run that it was granted to, and only in time."""

from datetime import UTC, datetime

from temporalio import activity

from domain.errors import ErrorCode, ResearchError


def check_envelope(granted_run_id: str) -> None:
    """To be passed right before every request that can be billed.

    Raises envelope_stale where this activity runs for another run than the one that holds the envelope: a cycle that
    was reset goes on with the replayed grant of its earlier run, and spent from that, the same money would be billed
    twice and booked once. Raises answer_lost where the attempt has outlived its timeout, as one whose process was
    frozen: its cycle has charged its ceiling and gone on, for the days on which it may still have been billed.
    """
    info = activity.info()
    if info.workflow_run_id != granted_run_id:
        raise ResearchError(
            ErrorCode.ENVELOPE_STALE,
            f"the envelope was granted to run {granted_run_id} and this is run {info.workflow_run_id}: the cycle was "
            "reset and has to open an envelope of its own",
        )
    patience = info.start_to_close_timeout
    if patience is not None and datetime.now(UTC) > info.started_time + patience:
        raise ResearchError(
            ErrorCode.ANSWER_LOST,
            f"this attempt began at {info.started_time:%Y-%m-%d %H:%M:%S} UTC and was given {patience.seconds} s: it "
            "is too late to call a model",
        )
