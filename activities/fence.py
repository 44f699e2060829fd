"""The fence around money: an envelope may be spent only by the run that it was granted to, and only in time.

And what was spent is never told as nothing: from a request on, only the request's own failure proves that it cost
nothing (`Billable`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from temporalio import activity

from activities.faults import translated
from domain.errors import COSTS_NOTHING, NOTHING_BILLED, ErrorCode, ResearchError
from domain.turns import FundedTurn


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
            "is too late to call a model. See that its worker is not overloaded, and start the cycle again",
        )


class Billable:
    """One turn that may be billed. Its request is made inside `request`, and everything else inside `billable`."""

    def __init__(self, turn: FundedTurn) -> None:
        self.billed = False
        self._turn = turn

    @contextmanager
    def request(self) -> Iterator[None]:
        """The request itself, and nothing else: an error that leaves the block is the request's own word."""
        if self._turn.ceiling_tokens == 0:
            raise ResearchError(ErrorCode.INTERNAL_ERROR, "a turn without a ceiling must not call a model")
        check_envelope(self._turn.granted_run_id)
        before, self.billed = self.billed, True
        try:
            yield
        except ResearchError as error:
            if error.code in COSTS_NOTHING:
                self.billed = before
            raise


@contextmanager
def billable(turn: FundedTurn) -> Iterator[Billable]:
    """Work on a turn. Once a request may have been billed, whatever else goes wrong is answer_lost: it stays charged.

    A shutdown of the worker too, which Temporal would otherwise try again by itself. A cancel of the cycle passes.
    What goes wrong while nothing is billed leaves as an ApplicationError that says so, so that its ceiling is put back.
    """
    work = Billable(turn)
    try:
        yield work
    except asyncio.CancelledError as error:
        details = activity.cancellation_details()
        if details is not None and details.worker_shutdown and not details.cancel_requested:
            activity.logger.info("the worker shuts down in mid-call: the answer is lost, and the cycle funds another")
            raise ResearchError(
                ErrorCode.ANSWER_LOST,
                "the worker shut down while the model was being called: the answer may have been billed, and is lost. "
                "See that a worker stays up (`research worker`), and start the cycle again",
            ) from error
        raise
    except Exception as error:
        if work.billed and (not isinstance(error, ResearchError) or error.code in COSTS_NOTHING):
            raise ResearchError(
                ErrorCode.ANSWER_LOST,
                f"the turn was billed, and then failed: {str(error)[:2000]}. Mend that, and start the cycle again",
            ) from error
        if not work.billed:
            with translated(NOTHING_BILLED):
                raise
        raise
