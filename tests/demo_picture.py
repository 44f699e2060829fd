"""Takes docs/demo.svg anew: what `make demo` shows on a terminal, of a real run in a new home, long parts left out.

`python -m tests.demo_picture`, of which `make screenshots` is the usual way.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO

from rich.console import Console
from rich.text import Text

from client import demo, live
from client.live import Look
from client.output import Screen
from client.render_cycle import render_cycle
from client.views import CycleView
from settings import PROJECT

PICTURE = PROJECT / "docs" / "demo.svg"
WIDTH = 118
CUT = "  …"

filmed = Console(file=StringIO(), width=WIDTH, force_terminal=True, color_system="standard", highlight=False)


class Film(Screen):
    """A terminal that keeps what is printed. What is said on stderr, as this machine's addresses, is in no picture."""

    @property
    def is_live(self) -> bool:
        """As where people watch."""
        return True

    def console(self, *, stderr: bool = False) -> Console:
        """The one that keeps, or standard error."""
        return Console(stderr=True) if stderr else filmed


async def watch(look: Look, screen: Screen) -> CycleView:
    """Stays with the cycle, and keeps the last of the views that a terminal draws in place."""
    seen = await live.watch(look, screen, quiet=True)
    filmed.print(render_cycle(seen))
    return seen


def shown(lines: list[Text]) -> Iterator[Text]:
    """The lines of the picture: without the lower half of the figures, paths, and the two cycles of the control."""
    left_out = False
    for line in lines:
        text = line.plain.rstrip()
        if text.startswith("PLANTED:"):
            yield line
            return
        if text.startswith(("Control: ", "Cycle ")):
            left_out = False
        elif not left_out and text.startswith(("  Random entries", "PLANTED is ")):
            left_out = True
            yield Text(CUT, "dim")
        if not left_out:
            yield line


def by_itself(svg: str) -> str:
    """The picture without what it would load from the net, which is its font."""
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono"')


def main() -> int:
    """Run the demo; where it ends well, write the picture. Its exit code is the demo's."""
    demo.screen = Film()
    demo.watch = watch  # type: ignore[assignment]  # which takes no more than the demo gives
    with tempfile.TemporaryDirectory() as home:
        os.environ["RESEARCH_HOME"] = home
        code = demo.main()
    if code == 0:
        assert isinstance(filmed.file, StringIO)
        lines = Text.from_ansi(filmed.file.getvalue()).split("\n", allow_blank=True)
        picture = Console(record=True, width=WIDTH, file=StringIO(), highlight=False, force_terminal=True)
        picture.print(Text("$ make demo", "bold"))
        for line in shown(list(lines)):
            line.rstrip()
            picture.print(line, soft_wrap=True)
        PICTURE.write_text(by_itself(picture.export_svg(title="make demo", unique_id="demo")))
    return code


if __name__ == "__main__":
    sys.exit(main())
