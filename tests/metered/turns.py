"""A designer and an assessor whose every turn is one request to the metered provider, as a real one's would be."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from temporalio import activity

from activities.faults import translated
from activities.fence import Billable, billable
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
        with translated(), billable(turn) as work:
            reply = await self._reply("design", turn, work)
            if not reply.final:
                return DesignAnswer(usage=reply.usage)
            strategy = await asyncio.to_thread(self.files.save, "metered", STRATEGY)
            return DesignAnswer(usage=reply.usage, strategy=strategy, hypothesis="that it is metered")

    @activity.defn(name="assess")
    async def assess(self, turn: AssessTurn) -> AssessAnswer:
        """One turn. Errors: as for design."""
        with translated(), billable(turn) as work:
            reply = await self._reply("assess", turn, work)
            return AssessAnswer(usage=reply.usage, assessment=ASSESSMENT if reply.final else None)

    async def _reply(self, phase: str, turn: FundedTurn, work: Billable) -> Reply:
        info = activity.info()
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
        async with beating(f"{phase}, turn {turn.turn}"):
            with work.request():
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
