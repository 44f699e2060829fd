"""A designer and an assessor whose every turn is one request to the metered provider, as a real one's would be."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from temporalio import activity

from activities.faults import translated
from activities.fence import check_envelope
from activities.heartbeat import beating
from domain.errors import ErrorCode, ResearchError
from domain.results import Assessment, Verdict
from domain.turns import AssessAnswer, AssessTurn, DesignAnswer, DesignTurn, FundedTurn
from store.strategies import StrategyFiles

from .provider import Call, Reply

STRATEGY = (Path(__file__).parent.parent / "workflows" / "small_strategy.yaml").read_text()
ASSESSMENT = Assessment(verdict=Verdict.NEUTRAL, strengths=("it ran",), weaknesses=("nobody looked",))


@dataclass(frozen=True)
class MeteredTurns:
    """Both activities. files: where the designed strategy is kept; url: the provider's."""

    url: str
    files: StrategyFiles

    @activity.defn(name="design")
    async def design(self, turn: DesignTurn) -> DesignAnswer:
        """One turn. Errors: as the design activity, answer_lost, anthropic_error, anthropic_rate_limited."""
        reply = await self._turn("design", turn)
        if not reply.final:
            return DesignAnswer(usage=reply.usage)
        strategy = await asyncio.to_thread(self.files.save, "metered", STRATEGY)
        return DesignAnswer(usage=reply.usage, strategy=strategy, hypothesis="that it is metered")

    @activity.defn(name="assess")
    async def assess(self, turn: AssessTurn) -> AssessAnswer:
        """One turn. Errors: as for design."""
        reply = await self._turn("assess", turn)
        return AssessAnswer(usage=reply.usage, assessment=ASSESSMENT if reply.final else None)

    async def _turn(self, phase: str, turn: FundedTurn) -> Reply:
        info = activity.info()
        with translated():
            check_envelope(turn.granted_run_id)
            if turn.ceiling_tokens == 0:
                raise ResearchError(ErrorCode.INTERNAL_ERROR, f"{phase} was asked for a call without a ceiling")
            call = Call(
                cycle_id=info.workflow_id or "",
                run_id=info.workflow_run_id or "",
                phase=phase,
                turn=turn.turn,
                ticket=int(info.activity_id),
                ceiling_tokens=turn.ceiling_tokens,
                closing=turn.closing,
                sender=os.getpid(),
            )
            async with beating(f"{phase}, turn {turn.turn}"), _lost_at_shutdown():
                return await ask(self.url, call)


async def ask(url: str, call: Call) -> Reply:
    """One request. Errors: anthropic_error, anthropic_rate_limited, which cost nothing; else answer_lost, once sent."""
    address = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
    except OSError as error:
        raise ResearchError(ErrorCode.ANTHROPIC_ERROR, f"{url} could not be reached: {error}") from error
    try:
        body = call.model_dump_json()
        writer.write(f"POST /call HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length"))
        answer = await reader.readexactly(int(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise ResearchError(ErrorCode.ANSWER_LOST, f"the answer to turn {call.turn} was lost: {error!r}") from error
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    status = head.split()[1]
    if status != "200":
        code = ErrorCode.ANTHROPIC_RATE_LIMITED if status == "429" else ErrorCode.ANTHROPIC_ERROR
        raise ResearchError(code, f"the provider says {status}: {answer.decode()}")
    return Reply.model_validate_json(answer)


@asynccontextmanager
async def _lost_at_shutdown() -> AsyncIterator[None]:
    """A worker that shuts down cancels what runs, and the server would try it again; a request may be under way."""
    try:
        yield
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        if details is not None and details.worker_shutdown and not details.cancel_requested:
            raise ResearchError(ErrorCode.ANSWER_LOST, "the worker shut down while a request was under way") from None
        raise
