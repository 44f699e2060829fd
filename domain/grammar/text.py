"""YAML text into plain data, with the line of every key.

Only what a strategy file needs: mappings, lists, text, numbers, true, false, null. No anchors or aliases (a few lines
of them can blow up to gigabytes), no tags, no second document, no key twice; size, depth and number of values are
bounded before anything is built. PyYAML does the scanning and parsing; nothing is ever constructed by tag.

A plain scalar is read as YAML 1.2 does: `no`, `on` and 2024-01-01 stay text; a flag takes such words, a date such text.
"""

import re
from dataclasses import dataclass, field

import yaml

from domain.grammar.values import Loc, Problem, shorten

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_NODES = 20_000

_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")


@dataclass
class Document:
    """What the text says; `data` is None where it could not be read at all."""

    data: object = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Loc) -> int:
        """The 1-based line of the path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Unreadable(Exception):
    """The text cannot be read any further."""

    def __init__(self, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


@dataclass
class _Open:
    """A mapping or list that is being filled; `key` is the mapping's key whose value comes next."""

    value: dict[str, object] | list[object]
    path: Loc
    key: str | None = None


def parse(text: str | bytes) -> Document:
    """Read YAML text. Never raises for what the text holds; `problems` says what is wrong, each with its path."""
    document = Document()
    try:
        _build(_decode(text), document)
    except _Unreadable as error:
        _fail(document, error.line, error.message, error.hint)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        about = error.problem or error.context or "cannot be read"
        _fail(
            document, line, f"is not valid YAML: {shorten(about)}", "check indentation, colons and quotes on this line"
        )
    except yaml.YAMLError as error:
        _fail(
            document,
            1,
            f"is not valid YAML: {shorten(str(error).splitlines()[0])}",
            "save the file as plain UTF-8 text",
        )
    return document


def _fail(document: Document, line: int, message: str, hint: str) -> None:
    document.data = None
    document.lines[()] = line
    document.problems = [*document.problems, Problem((), message, hint)]


def _decode(text: str | bytes) -> str:
    limit = f"at most {MAX_BYTES // 1024} KiB; a strategy is a few"
    if len(text) > MAX_BYTES:
        raise _Unreadable(1, f"has {len(text)} bytes", limit)
    if isinstance(text, bytes):
        try:
            return text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _Unreadable(text.count(b"\n", 0, error.start) + 1, "is not UTF-8 text", "save it as UTF-8") from None
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _Unreadable(1, f"has over {MAX_BYTES} bytes", limit)
    return text.removeprefix("\ufeff")


def _build(text: str, document: Document) -> None:
    """One pass over the parser's events with a stack of our own: depth is a count and not Python's recursion."""
    stack: list[_Open] = []
    documents = nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Unreadable(line, "holds a second document", "one strategy a file: remove what follows ---")
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            _refuse_tricks(event, line, nodes, len(stack))
            _place(event, line, stack, document)


def _refuse_tricks(event: yaml.NodeEvent, line: int, nodes: int, depth: int) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _Unreadable(line, f"uses the anchor or alias {shorten(event.anchor)!r}", "write the value out in full")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise _Unreadable(line, f"uses the tag {shorten(tag)!r}", "write the plain value")
    if depth >= MAX_DEPTH:
        raise _Unreadable(line, f"is nested deeper than {MAX_DEPTH} levels", "a strategy needs six")
    if nodes > MAX_NODES:
        raise _Unreadable(line, f"has more than {MAX_NODES} values", "a strategy has a few hundred")


def _place(event: yaml.NodeEvent, line: int, stack: list[_Open], document: Document) -> None:
    parent = stack[-1] if stack else None
    if parent is not None and isinstance(parent.value, dict) and parent.key is None:
        _take_key(event, line, parent, document)
        return
    path: Loc = () if parent is None else (*parent.path, len(parent.value) if parent.key is None else parent.key)
    document.lines.setdefault(path, line)
    value: object
    if isinstance(event, yaml.ScalarEvent):
        value = _scalar(event)
    else:
        opened = _Open({} if isinstance(event, yaml.MappingStartEvent) else [], path)
        stack.append(opened)
        value = opened.value
    if parent is None:
        document.data = value
    elif isinstance(parent.value, list):
        parent.value.append(value)
    elif parent.key is not None:
        parent.value.setdefault(parent.key, value)
        parent.key = None


def _take_key(event: yaml.NodeEvent, line: int, parent: _Open, document: Document) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        raise _Unreadable(line, "has a list or mapping for a key", "a key is a word")
    key = str(event.value)
    if key in parent.value:
        first = document.lines[(*parent.path, key)]
        message = f"stands here twice, first on line {first}, again on line {line}"
        document.problems.append(Problem((*parent.path, key), message, "keep one of the two"))
    document.lines.setdefault((*parent.path, key), line)
    parent.key = key


def _scalar(event: yaml.ScalarEvent) -> object:
    text = str(event.value)
    return text if event.style is not None else read_plain(text)


def read_plain(text: str) -> bool | int | float | str | None:
    """What an unquoted scalar means here."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else text
