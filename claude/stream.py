"""A streamed answer, put together event by event: its blocks as they are to be sent back, and what it was billed.

Nothing in it is trusted. What is out of order or of another shape than it should be raises ValueError; what is too long
or is no JSON is left out, while the stream is read on to its end, as only that tells what was billed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue, TypeAdapter

from domain.cycle import CallUsage
from domain.turns import MAX_MESSAGE, Message

MAX_BLOCKS = 200

Block = dict[str, JsonValue]

_BLOCK = TypeAdapter(Block)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")

_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""By the type of a piece: the field that it belongs to, both in the piece and in its block."""

_AS_PRICED = {
    "inference_geo": ("global", "not_available"),
    "speed": ("standard",),
    "service_tier": ("standard",),
}
"""How a call is served that costs what price tables say. A workspace may have another geography for its default, which
is dearer; a call that names one of its own would overrule where its owner wants the data to stay.
"""


@dataclass
class Heard:
    """What has been heard of an answer so far.

    prompt: tokens of its whole input, once they are told. stop_reason: told near the end. complete: it came to its
    end.
    """

    prompt: int | None = None
    stop_reason: str | None = None
    complete: bool = False
    _model: str = ""
    _counts: dict[str, int] = field(default_factory=dict)
    _counted: bool = False
    _off_list: bool = False
    _blocks: dict[int, Block] = field(default_factory=dict)
    _inputs: dict[int, list[str]] = field(default_factory=dict)
    _size: int = 0
    _unfit: str | None = None

    def take(self, event: Mapping[str, object]) -> None:
        """One event. Kinds that are not known are passed over, as the API asks of its callers."""
        kind = event.get("type")
        if kind == "message_start":
            message = _mapping(event.get("message"))
            self._model = str(message.get("model") or "")[:80]
            self._count(message.get("usage"))
        elif kind == "message_delta":
            reason = _mapping(event.get("delta")).get("stop_reason")
            self.stop_reason = str(reason)[:80] if reason else None
            self._count(event.get("usage"))
            self._counted = self._counted or _is_count(_mapping(event.get("usage") or {}).get("output_tokens"))
        elif kind == "message_stop":
            self.complete = True
        elif kind in ("content_block_start", "content_block_delta") and self._unfit is None:
            self._take_piece(str(kind), event)

    @property
    def usage(self) -> CallUsage | None:
        """What was billed; None where the answer has not told it in full.

        What its beginning tells of the output is no more than the beginning's.
        """
        if not (self.complete and self._counted and "input_tokens" in self._counts):
            return None
        return CallUsage(
            model=self._model,
            input=self._counts["input_tokens"],
            cache_write=self._counts.get("cache_creation_input_tokens", 0),
            cache_write_1h=self._counts.get("ephemeral_1h_input_tokens", 0),
            cache_read=self._counts.get("cache_read_input_tokens", 0),
            output=self._counts["output_tokens"],
            off_list=self._off_list,
        )

    def message(self) -> Message:
        """The answer as it is to be sent back. Raises Unfit where it can't be."""
        if self._unfit:
            raise Unfit(self._unfit)
        found = []
        for index in sorted(self._blocks):
            block = self._blocks[index]
            pieces = "".join(self._inputs.get(index, ()))
            found.append({**block, "input": _arguments(pieces)} if pieces else block)
        if not found or any(block.get("text") == "" for block in found):
            raise Unfit("it was empty")  # the API does not take empty texts back
        if any(block.get("type") == "tool_use" and not _NAME.fullmatch(str(block.get("id"))) for block in found):
            raise Unfit("a tool call in it had no proper id")
        try:
            return Message(role="assistant", blocks=tuple(found))
        except ValueError as error:
            raise Unfit("it was too long, or no text") from error

    def _take_piece(self, kind: str, event: Mapping[str, object]) -> None:
        index = event.get("index")
        if not isinstance(index, int) or not 0 <= index < MAX_BLOCKS:
            raise ValueError(f"a block has the number {index!r}")
        if kind == "content_block_start":
            block = _BLOCK.validate_python(event.get("content_block"))
            self._size += len(json.dumps(block))
            self._blocks[index] = block
        else:
            piece = _mapping(event.get("delta"))
            self._size += self._add(index, piece)
        if self._size > MAX_MESSAGE:
            self._unfit = "it was too long to be kept"
            self._blocks.clear()
            self._inputs.clear()

    def _add(self, index: int, piece: Mapping[str, object]) -> int:
        block = self._blocks.get(index)
        if block is None:
            raise ValueError(f"a piece came of block {index}, which has not begun")
        if piece.get("type") == "input_json_delta":
            text = str(piece.get("partial_json") or "")
            self._inputs.setdefault(index, []).append(text)
            return len(text)
        name = _TEXTS.get(str(piece.get("type")))
        if name is None:
            self._unfit = f"a part of it is of the unknown type {str(piece.get('type'))[:80]!r}"
            return 0
        text = str(piece.get(name) or "")
        block[name] = text if name == "signature" else str(block.get(name) or "") + text
        return len(text)

    def _count(self, told: object) -> None:
        """Counts are cumulative: one that is not told again holds, and one that falls is not what was billed."""
        if told is None:
            return
        usage = _mapping(told)
        for source in (usage, _mapping(usage.get("cache_creation") or {})):
            for name, count in source.items():
                if isinstance(count, int) and _is_count(count):
                    self._counts[name] = max(count, self._counts.get(name, 0))
        served = ((usage.get(name), usual) for name, usual in _AS_PRICED.items())
        self._off_list = self._off_list or any(how and how not in usual for how, usual in served)
        if "input_tokens" in self._counts:
            self.prompt = sum(
                self._counts.get(name, 0)
                for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
            )


class Unfit(Exception):
    """The answer can't be kept, and so not be sent back; it is told in words that the model is told too."""


def _arguments(text: str) -> dict[str, JsonValue]:
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise Unfit("the arguments of a tool were no JSON") from error
    if not isinstance(found, dict):
        raise Unfit("the arguments of a tool were no JSON object")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{type(value).__name__} where an object should be")
    return value
