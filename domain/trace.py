"""A cycle's trace: which one it is, and the ids of its spans.

A cycle's own span and those of its phases are written once, when the cycle is recorded. What runs meanwhile names them
as its parents already, so their ids follow from the run by a rule, the same on every worker and in every replay.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Self

from pydantic import Field

from domain.results import Frozen

HEADER = "_tracer-data"
"""Temporal's header for a trace's context, by the name that the SDK's own interceptors use: a JSON object of strings,
as W3C Trace Context has them.
"""

UNDECIDED = "undecided"
"""In the header beside the context: nobody has decided yet whether this trace is kept. Each worker then decides by the
trace's id, and so all alike.
"""

_TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")

_LONGEST_HEADER = 10_000
"""Bytes. Anybody can start a workflow with any header."""


class Trace(Frozen):
    """Where a cycle stands in a trace. Ids are hexadecimal, as W3C Trace Context writes them.

    span_id: the cycle's own span. parent_id: the span of who started the cycle, if that was traced.
    sampled: whether who started it keeps this trace; None where nobody has decided that yet.
    """

    trace_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    span_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    parent_id: str | None = Field(None, pattern=r"^[0-9a-f]{16}$")
    sampled: bool | None = None

    @classmethod
    def of(cls, run_id: str, header: bytes | None) -> Self:
        """The trace that the starter's header names, or else one of the run's own.

        run_id: the run that the history began with, which a reset doesn't change. A header that is none is nobody's.
        """
        own = cls(trace_id=_digest(run_id, "trace", 16), span_id=_digest(run_id, "cycle", 8))
        found = _TRACEPARENT.fullmatch(_traceparent(header))
        if found is None or not int(found["trace"], 16) or not int(found["span"], 16):
            return own
        sampled = bool(int(found["flags"], 16) & 1)
        return own.model_copy(update={"trace_id": found["trace"], "parent_id": found["span"], "sampled": sampled})

    def phase_ids(self, phases: Iterable[str]) -> list[str]:
        """The span of each time that the cycle was in a phase: one that waited anew for funds comes again."""
        seen: dict[str, int] = {}
        ids = []
        for phase in phases:
            seen[phase] = seen.get(phase, 0) + 1
            ids.append(_digest(self.span_id, f"{phase} {seen[phase]}", 8))
        return ids

    def header(self, span_id: str) -> bytes:
        """What an activity is given whose work belongs to this span."""
        undecided = {} if self.sampled is not None else {UNDECIDED: "1"}
        flags = "00" if self.sampled is False else "01"
        return json.dumps({"traceparent": f"00-{self.trace_id}-{span_id}-{flags}", **undecided}).encode()


def _traceparent(header: bytes | None) -> str:
    if header is None or len(header) > _LONGEST_HEADER:
        return ""
    try:
        said = json.loads(header)
    except (ValueError, RecursionError):
        return ""
    value = said.get("traceparent") if isinstance(said, dict) else None
    return value if isinstance(value, str) else ""


def _digest(run: str, what: str, size: int) -> str:
    return hashlib.sha256(f"{run} {what}".encode()).digest()[:size].hex()
