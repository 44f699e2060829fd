"""The pages of docs/ that are made from the code: every command's help, every setting. `make docs` writes them.

Nothing in them depends on a terminal, an environment or a machine, so that what is kept can be held against the code.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from client.main import app
from domain.gates import GateThresholds
from settings import PROJECT, Settings
from workflows.policies import ActivityPolicy, Policies

WIDTH = 100
MADE = "<!-- Made from the code by `make docs`. -->"
ABOUT_COMMANDS = """\
What `--help` says, command by command. The options of `research` itself may stand after any command too. What the exit
codes and the codes of errors mean: [troubleshooting.md](troubleshooting.md)."""
ABOUT_SETTINGS = """\
Flags come first, then the environment, then `.env` and `research.toml` beside `settings.py`. In the TOML file a setting
goes by its variable or by its name in `settings.py`, and a key that nobody knows is refused. `research config` shows
what holds, and who said so. A value that does not fit ends a command or a worker with exit code 4 and its name."""
ABOUT_POLICIES = """\
A cycle keeps the table that it was started with. One cell is `RESEARCH_POLICIES__` with row and column, as in
`RESEARCH_POLICIES__TRAIN__ATTEMPTS=3` or `RESEARCH_POLICIES__TRAIN__HEARTBEAT=PT20S`; lengths of time are ISO 8601."""


def pages() -> dict[Path, str]:
    """Each page's file and its text."""
    return {PROJECT / "docs" / "commands.md": commands_page(), PROJECT / "docs" / "settings.md": settings_page()}


def command_tree() -> TyperGroup:
    """`research` as its parser has it."""
    command = get_command(app)
    if not isinstance(command, TyperGroup):
        raise TypeError("`research` has commands")
    return command


def commands_page() -> str:
    """The help of every command and subcommand, as `--help` prints it on a terminal of 100 columns."""
    told = [f"## {path}\n\n```text\n{text}\n```" for path, text in helps(command_tree(), WIDTH)]
    return "\n\n".join([MADE, "# Commands", ABOUT_COMMANDS, *told]) + "\n"


def settings_page() -> str:
    """Every setting with its variable, its default and what it means."""
    gates = {f"{part}_gate_{name}": field for part, name, field in _gate_bounds()}
    meanings = _meanings(Settings)
    rows = [
        (f"`{variable_of(name, field)}`", _default(field.default), _allowed(gates.get(name, field)), meanings[name])
        for name, field in Settings.model_fields.items()
        if name != "policies"
    ]
    return (
        "\n\n".join(
            [
                MADE,
                "# Settings",
                ABOUT_SETTINGS,
                _table(("variable", "default", "allowed", "meaning"), rows),
                *_policies(),
            ]
        )
        + "\n"
    )


def variable_of(name: str, field: FieldInfo) -> str:
    """The environment variable of a setting."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{Settings.model_config['env_prefix']}{name.upper()}"


def _policies() -> Iterator[str]:
    yield "## Timeouts and retries"
    yield ABOUT_POLICIES
    policies, meanings = Policies(), _meanings(Policies)
    columns = list(ActivityPolicy.model_fields)
    timed = [(name, row) for name, row in dict(policies).items() if isinstance(row, ActivityPolicy)]
    rows = [
        (
            f"`{name.upper()}`",
            meanings[name],
            *(_default(value) for key, value in dict(row).items() if key in columns[:-1]),
        )
        for name, row in timed
    ]
    yield _table(("row", "what", *(f"`{column.upper()}`" for column in columns[:-1])), rows)
    explained = _meanings(ActivityPolicy)
    yield _table(("column", "means"), [(f"`{column.upper()}`", explained[column]) for column in columns])
    lists = [f"`{name.upper()}`: {_default(row.not_retried)}" for name, row in timed if row.not_retried]
    yield f"`{columns[-1].upper()}` is empty but for " + "; ".join(lists) + "."
    single = [name for name, row in dict(policies).items() if not isinstance(row, ActivityPolicy)]
    yield _table(
        ("variable", "default", "meaning"),
        [
            (f"`RESEARCH_POLICIES__{name.upper()}`", _default(getattr(policies, name)), meanings[name])
            for name in single
        ],
    )


def _gate_bounds() -> Iterator[tuple[str, str, FieldInfo]]:
    for name, field in GateThresholds.model_fields.items():
        part, _, rest = name.partition("_")
        yield part, rest, field


def helps(command: TyperGroup, width: int) -> Iterator[tuple[str, str]]:
    """Path and help of every command, depth first, as they stand in the lists of commands; as wide as a terminal."""

    def walk(name: str, command: object, parent: Context | None) -> Iterator[tuple[str, str]]:
        context = Context(
            command,  # type: ignore[arg-type]
            parent=parent,
            info_name=name,
            terminal_width=width,
            max_content_width=width,
            color=False,
            help_option_names=["-h", "--help"],
        )
        text = command.get_help(context)  # type: ignore[attr-defined]
        yield context.command_path, "\n".join(line.rstrip() for line in text.splitlines())
        if isinstance(command, TyperGroup):
            for each in command.list_commands(context):
                yield from walk(each, command.commands[each], context)

    return walk("research", command, None)


def _meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """What each field means: its description, else the string below it. Raises LookupError where there is neither."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(model)).body if isinstance(node, ast.ClassDef))
    below = {
        before.target.id: inspect.cleandoc(str(after.value.value))
        for before, after in pairwise(body)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
    found = {}
    for name, field in model.model_fields.items():
        said = field.description or below.get(name)
        if not said:
            raise LookupError(f"{model.__name__}.{name} does not say what it means")
        found[name] = said[0].upper() + said[1:].rstrip(".")
    return found


def _default(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, Path):
        return f"`{value.relative_to(PROJECT)}` in the project"
    if isinstance(value, timedelta):
        return f"`{TypeAdapter(timedelta).dump_python(value, mode='json')}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    """The bounds of a number in words; empty where it has none."""
    words = []
    for bound in field.metadata:
        match bound:
            case Ge(ge=least):
                words.append(f"from {least}")
            case Gt(gt=least):
                words.append(f"above {least}")
            case Le(le=most):
                words.append(f"to {most}")
            case Lt(lt=most):
                words.append(f"below {most}")
    return " ".join(words)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
