"""The fence around money: an envelope may be spent only by the run that it was granted to."""

from temporalio import activity

from domain.errors import ErrorCode, ResearchError


def check_envelope(granted_run_id: str) -> None:
    """Raise envelope_stale where this activity runs for another run than the one that holds the envelope.

    A cycle that was reset goes on with the replayed grant of its earlier run. Spent from that, the same money would be
    billed twice and booked once.
    """
    own = activity.info().workflow_run_id
    if own != granted_run_id:
        raise ResearchError(
            ErrorCode.ENVELOPE_STALE,
            f"the envelope was granted to run {granted_run_id} and this is run {own}: the cycle was reset and has to "
            "open an envelope of its own",
        )
