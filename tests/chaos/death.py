"""How a process dies at one exact place: the trace function of one function's code, down to the instruction."""

import asyncio
import dis
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from settings import PROJECT

from .awaits import Await


class Moment(StrEnum):
    """When it dies: as it waits, or when what it waited for has happened and nobody else has heard of it yet."""

    WAITING = "waiting"
    ANSWERED = "answered"


def arm(place: Await, moment: Moment, marker: Path) -> None:
    """From now on this process dies by SIGKILL when its main thread comes to the place; the marker says that it did.

    Where the wait is over at once, it dies at the next one.
    """
    file = str(PROJECT / place.module)
    loops: dict[CodeType, frozenset[int]] = {}

    def die() -> None:
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code.co_qualname != place.function or code.co_filename != file:
            return None
        if code not in loops:
            loops[code] = _waiting(code, place)
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return on_instruction

    began: set[FrameType] = set()

    def on_instruction(frame: FrameType, event: str, argument: Any) -> Any:
        if event != "opcode":
            return on_instruction
        waits = frame.f_lasti in loops[frame.f_code]
        if waits and moment is Moment.WAITING:
            asyncio.get_running_loop().call_soon(die)
        elif waits:
            began.add(frame)
        elif frame in began:
            die()
        return on_instruction

    sys.settrace(on_call)


def _waiting(code: CodeType, place: Await) -> frozenset[int]:
    """The instructions between which the function is suspended at the place: each SEND to the jump back to it.

    A `finally` is compiled once for each way into it. The leaving of an `async with` has its position too.
    """
    instructions = list(dis.get_instructions(code))
    sends = [n for n, one in enumerate(instructions) if one.opname == "SEND" and one.positions == place.position]
    if place.entered is not None:
        first, items = place.entered
        entering = [n for n in sends if "BEFORE_ASYNC_WITH" in {one.opname for one in instructions[n - 3 : n]}]
        sends = entering[first::items]
    found: set[int] = set()
    for first in sends:
        last = next(n for n in range(first, len(instructions)) if instructions[n].opname.startswith("JUMP_BACKWARD"))
        found.update(one.offset for one in instructions[first : last + 1])
    return frozenset(found)
