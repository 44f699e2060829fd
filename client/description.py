"""What the Web UI shows of a cycle from its first moment: a line, what was asked in full, and a memo. All are bounded,
whatever the brief: servers refuse long ones.
"""

from collections.abc import Mapping

from domain.cycle import CycleRequest
from workflows.details import plain, table

MAX_SUMMARY, MAX_DETAILS = 400, 20_000
"""Bytes, of the summary and of the details: what a server takes that keeps to Temporal's defaults."""

MAX_MEMO_BRIEF = 1_000
"""Bytes. A memo comes with each row of every list; above 2,048 in all the SDK warns."""


def summary(request: CycleRequest) -> str:
    """One line: which bars, who designs, and how the brief begins."""
    design = f"strategy {request.strategy.name}" if request.strategy else f"{request.designer.value} designer"
    if request.fork:
        design = f"fork of {plain(_cut(request.fork.cycle_id, 80))} from {request.fork.phase.value} on"
    brief = plain(_cut(_one_line(request.brief), 120))
    return f"{request.symbol} {request.timeframe}, {design}, seed {request.seed}" + (f": {brief}" if brief else "")


def details(request: CycleRequest) -> str:
    """What was asked, in Markdown: the brief as it was typed, who designs, and the bounds of both gates."""
    rows = [
        ("bars", f"{request.symbol} {request.timeframe}"),
        ("designer", request.designer.value + (f", model {plain(request.model)}" if request.model else "")),
        ("strategy", f"`{request.strategy.name}`" if request.strategy else "to be designed"),
        ("seed", str(request.seed)),
        *(
            (("fork of", f"`{plain(request.fork.cycle_id)}`, from {request.fork.phase.value} on"),)
            if request.fork
            else ()
        ),
        ("without a slot or funds at its start", "it waits" if request.queue else "it is refused"),
        ("when the day's budget ends", f"it {request.on_budget_exhausted.value}s"),
        *((f"`{name}`", f"{bound:g}") for name, bound in request.thresholds.model_dump().items()),
    ]
    asked = table(("asked", ""), rows)
    quoted = "\n>\n".join(f"> {plain(line)}" for line in request.brief.splitlines() if line.strip())
    room = MAX_DETAILS - len(asked.encode()) - 2
    return f"{_cut(quoted, room)}\n\n{asked}" if quoted else asked


def memo(request: CycleRequest) -> Mapping[str, str | int]:
    """What `temporal workflow describe` and the Web UI tell without a worker; a cancelled cycle adds its reason."""
    told: dict[str, str | int] = {"designer": request.designer.value, "seed": request.seed}
    if request.model:
        told["model"] = request.model
    if request.strategy:
        told["strategy_sha256"] = request.strategy.sha256
    if brief := _one_line(request.brief):
        told["brief"] = _cut(brief, MAX_MEMO_BRIEF)
    return told


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, size: int) -> str:
    """The text, where it is longer than so many bytes its beginning and an ellipsis."""
    whole = text.encode()
    return text if len(whole) <= size else whole[: size - 3].decode(errors="ignore") + "…"
