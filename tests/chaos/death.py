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
    loops: dict[CodeType, range] = {}

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


def _waiting(code: CodeType, place: Await) -> range:
    """The instructions between which the function is suspended at the place: SEND to the jump back to it."""
    instructions = list(dis.get_instructions(code))
    sends = [n for n, one in enumerate(instructions) if one.opname == "SEND" and one.positions == place.position]
    first = sends[place.send]
    last = next(n for n in range(first, len(instructions)) if instructions[n].opname.startswith("JUMP_BACKWARD"))
    return range(instructions[first].offset, instructions[last].offset + 1)
