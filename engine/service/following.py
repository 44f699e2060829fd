"""One operation at the service, from its start or from where an earlier attempt left it, to its end."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from domain.errors import ErrorCode, ResearchError
from engine.interface import Operation, Progress, Report
from engine.service.answers import Away, Broken, Status, Unreached, plain
from engine.service.answers import Operation as Told
from engine.service.client import Busy, Declined, Service, Slow
from engine.service.results import Finished

MISSES: Final = 5
"""Requests in a row without a usable answer, after which the service counts as unavailable."""

MAX_STEP: Final = 200
"""Longest step of the service's that is passed on, in characters."""

UNTOLD: Final = "of-unknown-id"
"""Stands for the id of a backtest whose start was not answered: the service gives it, and told nobody."""

_LIVES: Final = 50
_START_ENDS: Final = 5.0

Post = Callable[[str | None], Coroutine[object, object, str]]
"""Has the service begin the work, under our id where it takes one; the operation's id."""


@dataclass(frozen=True)
class Work:
    """What tells a training from a backtest here."""

    name: str
    failed: ErrorCode
    unavailable: ErrorCode


TRAINING: Final = Work("training", ErrorCode.TRAINING_FAILED, ErrorCode.TRAINING_SERVICE_UNAVAILABLE)
BACKTEST: Final = Work("backtest", ErrorCode.BACKTEST_FAILED, ErrorCode.BACKTEST_SERVICE_UNAVAILABLE)


class Following:
    """Follows one operation. What it learns it reports at once, with the operation, for the attempt after this one."""

    def __init__(
        self, service: Service, work: Work, report: Report, earlier: Progress | None, poll_interval: float
    ) -> None:
        self._service = service
        self._work = work
        self._report = report
        self._interval = poll_interval
        self._fraction = earlier.fraction if earlier else 0.0
        self._operation = earlier.operation if earlier else None
        self._misses = 0

    async def to_its_end(self, post: Post, own_id: str | None = None) -> Finished:
        """The completed operation, begun once: under `own_id`, where the service takes an id of ours.

        Raises ResearchError with the work's codes.
        """
        began = time.monotonic()
        self._say(f"asking the {self._work.name} service")
        try:
            while True:
                operation = self._operation
                if operation is None or operation.id == UNTOLD:
                    await self._begin(post, own_id, operation.lost if operation else 0)
                    continue
                found = await self._answered(operation.id)
                self._misses = 0
                if found is None:
                    await self._begin_again(post, own_id, operation)
                    continue
                told, content = found
                self._operation = Operation(id=operation.id, lost=operation.lost)
                self._refuse_a_bad_end(told)
                if told.status is Status.COMPLETED:
                    return Finished(operation.id, content, time.monotonic() - began)
                self._tell(told)
                await asyncio.sleep(self._interval)
        except (Declined, Broken) as error:
            left = await self._ended()
            if isinstance(error, Broken):
                raise broken(self._work, error, left) from None
            said = f"The {self._work.name} service says no: {error}.{left}"
            raise ResearchError(self._work.failed, said) from None

    async def _begin_again(self, post: Post, own_id: str | None, operation: Operation) -> None:
        lost = operation.lost
        if not operation.unclear:  # else it never began
            if lost:
                raise ResearchError(
                    self._work.failed,
                    f"The service lost the {self._work.name} twice: it knows no operation {operation.id} any more. See "
                    "in its log why it forgets, and start a new cycle.",
                )
            lost += 1
            self._fraction = 0.0
            self._say(f"the service lost the {self._work.name} {operation.id}; starting it again")
        await self._begin(post, own_id, lost)

    async def _begin(self, post: Post, own_id: str | None, lost: int) -> None:
        """Begin the work, however long the service has no free worker for it, unless it is there already."""
        while True:
            own = None
            if own_id is not None:
                own, there = await self._place(own_id)
                if there:
                    return self._found(own, lost)
            try:
                return await self._posted(post, own, lost)
            except Busy:
                self._misses = 0
                self._say(f"waiting for a free worker at the {self._work.name} service")
                await asyncio.sleep(self._interval)
            except (Away, Slow) as error:
                await self._missed(error)

    async def _place(self, own_id: str) -> tuple[str, bool]:
        """The id to begin under, and whether the work is there under it already.

        What failed or was cancelled under it, without a word of it from an earlier attempt, is of an earlier life of
        the cycle, which was reset since: the next number is looked at. Unless a start of this life, whose answer did
        not come, has begun it.
        """
        for life in range(1, _LIVES + 1):
            place = own_id if life == 1 else f"{own_id}-{life}"
            found = await self._answered(place)
            if found is None:
                return place, False
            ours = self._operation is not None and self._operation.unclear and self._operation.id == place
            if ours or found[0].status not in (Status.FAILED, Status.CANCELLED):
                return place, True
        raise ResearchError(
            self._work.failed,
            f"All of {_LIVES} operations {own_id} have failed or were cancelled at the service. Start a new cycle.",
        )

    async def _posted(self, post: Post, own: str | None, lost: int) -> None:
        """Post a start and hear the operation's id, also where a cancel comes between.

        It is reported as unclear before it is asked for, and until there is an answer: whoever ends it, or goes on with
        it, has to know of it, however this attempt ends.
        """
        before = self._operation
        self._operation = Operation(id=own or UNTOLD, lost=lost, unclear=True)
        self._say(f"asking the {self._work.name} service to begin")
        starting = asyncio.create_task(post(own))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait({starting}, timeout=_START_ENDS)
            raise
        finally:
            starting.cancel()  # where it has not ended in all that time
            self._settle(starting, before, lost)

    def _settle(self, starting: "asyncio.Task[str]", before: Operation | None, lost: int) -> None:
        """What is known after a start; nothing new where its answer did not come."""
        if not starting.done() or starting.cancelled():
            return
        error = starting.exception()
        if error is None:
            self._found(starting.result(), lost)
        elif isinstance(error, Busy | Declined | Unreached):
            self._operation = before
            self._say(f"the {self._work.name} was not begun")

    def _found(self, operation_id: str, lost: int) -> None:
        self._misses = 0
        self._operation = Operation(id=operation_id, lost=lost)
        self._say(f"{self._work.name} at the service, operation {operation_id}")

    async def _answered(self, operation_id: str) -> tuple[Told, bytes] | None:
        """What the service says of an operation, however slowly; None where it knows none."""
        while True:
            try:
                return await self._service.operation(operation_id)
            except Slow as error:
                self._say(f"the {self._work.name} service is slow: {error}")
                await asyncio.sleep(self._interval)
            except Away as error:
                await self._missed(error)

    async def _missed(self, error: Away | Slow) -> None:
        """One more request without a usable answer: wait twice as long, or give up."""
        self._misses += 1
        if self._misses >= MISSES:
            raise ResearchError(
                self._work.unavailable,
                f"The {self._work.name} service at {self._service.url} gave no usable answer {MISSES} times in a row, "
                f"the last time: {error}.{self._left_there()} See that it runs and that KTRDR_API_URL names it, and "
                "start the cycle again if it has failed meanwhile.",
            )
        self._say(f"the {self._work.name} service does not answer ({self._misses} of {MISSES}): {error}")
        await asyncio.sleep(2 * self._interval)

    def _refuse_a_bad_end(self, told: Told) -> None:
        work, operation = self._work.name, told.operation_id
        said = plain(told.error_message or "")
        if told.status is Status.FAILED:
            raise ResearchError(
                self._work.failed,
                f"The {work} failed at the service: {said or 'it does not say why'}. See the service's log of "
                f"operation {operation}, mend what it names, and start a new cycle.",
            )
        if told.status is Status.CANCELLED:
            raise ResearchError(
                self._work.failed,
                f"Somebody else cancelled the {work} at the service (operation {operation}"
                f"{': ' + said if said else ''}). Start a new cycle if it was a mistake.",
            )

    def _tell(self, told: Told) -> None:
        if told.progress is not None and told.progress.percentage is not None:
            self._fraction = told.progress.percentage / 100
        step = plain(told.progress.current_step or "", MAX_STEP) if told.progress else ""
        self._say(step or f"{self._work.name} {told.status.value} at the service")

    async def _ended(self) -> str:
        """End what nobody can follow any more. A sentence about it where it may run all the same."""
        operation = self._operation
        if operation is None or operation.id == UNTOLD:
            return self._left_there()
        self._say(f"ending operation {operation.id} at the service")
        reason = "nobody can follow it: its service said no, or what nobody can read"
        if answer := await self._service.delete(operation.id, reason, unclear=operation.unclear):
            return f"{self._left_there()} It was asked to end it, and answered: {answer}."
        self._operation = None
        self._say(f"operation {operation.id} has ended at the service")
        return ""

    def _left_there(self) -> str:
        """A sentence about what may run there for nobody; empty where nothing can."""
        if self._operation is None:
            return ""
        if self._operation.id == UNTOLD:
            return f" A {self._work.name} may have begun there whose id nobody was told. Look for it there."
        may = "have begun" if self._operation.unclear else "still run"
        return f" Operation {self._operation.id} may {may} there."

    def _say(self, step: str) -> None:
        self._report(Progress(fraction=self._fraction, step=step, operation=self._operation))


def broken(work: Work, error: Exception, left: str = "") -> ResearchError:
    """An answer that breaks the contract, in words for the cycle. left: a sentence about what may run there yet."""
    return ResearchError(
        work.failed,
        f"The {work.name} service's answer breaks the contract: {error}. What it must serve stands in "
        f"docs/http-backend.md.{left}",
    )
