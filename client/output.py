"""Where a command's words go: data on stdout, prose on stderr; text for people, JSON for programs."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from client.exits import CommandError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console, RenderableType

WIDTH_OFF_TERMINAL = 200
"""Wide enough that no id and no figure is folded when a script reads the text."""


class OutputFormat(StrEnum):
    """What stdout holds: text for people, one JSON document, or one JSON value a line."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


@dataclass(frozen=True)
class Screen:
    """The output of one command. Text may use colour, by rich's rules (a terminal, and no NO_COLOR)."""

    format: OutputFormat = OutputFormat.TEXT

    @property
    def is_text(self) -> bool:
        """Whether stdout is for people."""
        return self.format is OutputFormat.TEXT

    @property
    def is_live(self) -> bool:
        """Whether a view may be redrawn in place: text, on a terminal that can."""
        return self.is_text and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def console(self, *, stderr: bool = False) -> "Console":
        """A console for text that we rendered: nothing in it is read as markup."""
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else WIDTH_OFF_TERMINAL
        return Console(file=stream, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)

    def show(self, data: "BaseModel | Sequence[BaseModel]", text: "RenderableType", *, wide: bool = False) -> None:
        """Put a result on stdout, in the format that was asked for. A wide table leaves wrapping to the terminal."""
        if self.is_text:
            console = self.console()
            console.width = max(console.width, WIDTH_OFF_TERMINAL) if wide else console.width
            console.print(text, crop=False)
        elif isinstance(data, Sequence):
            self._print_many(data)
        else:
            print_line(self._json(data))

    def note(self, text: str) -> None:
        """A sentence for the person, on stderr: it never mixes with data."""
        from client.render_values import clean

        self.console(stderr=True).print(clean(text), soft_wrap=True)

    def error(self, error: CommandError) -> None:
        """Tell an error: on stderr in words, or on stdout as JSON where JSON was asked for."""
        if self.is_text:
            self.note(f"error: {error.message}")
            if error.next_step:
                self.note(f"  next: {error.next_step}")
            return
        body: dict[str, object] = {"code": error.code, "message": error.message}
        if error.next_step:
            body["next"] = error.next_step
        body.update({name: value.model_dump(mode="json") for name, value in error.details.items()})
        print_line(json.dumps({"error": body}, indent=self._indent, ensure_ascii=False))

    def _print_many(self, data: "Sequence[BaseModel]") -> None:
        if self.format is OutputFormat.JSONL:
            for item in data:
                print_line(item.model_dump_json())
            return
        rows = [item.model_dump(mode="json") for item in data]
        print_line(json.dumps(rows, indent=self._indent, ensure_ascii=False))

    def _json(self, data: "BaseModel") -> str:
        return data.model_dump_json(indent=self._indent)

    @property
    def _indent(self) -> int | None:
        return None if self.format is OutputFormat.JSONL else 2


def print_line(text: str) -> None:
    """One line to stdout, seen at once by whoever reads the pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
