"""What README and docs/ say is so: links lead somewhere, commands parse, codes are all explained, made pages are new,
and the pages for a newcomer run as they stand there.
"""

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer import Exit
from typer.core import TyperGroup
from typer.exceptions import TyperException

from client.exits import CommandError, ExitCode
from client.help_pages import command_tree, pages
from client.invocation import Invocation, hoist
from client.main import run
from domain.errors import COSTS_NOTHING, ErrorCode
from domain.ledger import Refusal
from settings import PROJECT

TREE = command_tree()
PAGES = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md")), PROJECT / "temporal-dev" / "README.md"]
NEWCOMERS = ("getting-started.md", "your-data.md")
PATIENCE = 120.0
RESEARCH = Path(sys.executable).with_name("research")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CYCLE_ID = re.compile(r"cycle-\d{8}-\d{6}-[0-9a-f]{4}")


def by_name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_a_page_that_is_made_from_the_code_is_what_make_docs_would_write(page: Path) -> None:
    assert page.read_text() == pages()[page], "type `make docs`"


def test_a_made_page_depends_on_no_terminal_and_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pages()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("AGENT_DAILY_TOKEN_BUDGET", "7")
    monkeypatch.chdir("/")
    assert pages() == before


# Links.


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert not dead_links(page)


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Some `code`, here\n[a](page.md#some-code-here) [b](#nowhere) [c](gone.md)\n")
    assert dead_links(page) == ["#nowhere", "gone.md"]


# Commands.


class Typed(NamedTuple):
    """A command line in a page. whole: from a block, where nothing may be missing; a mention may be a name alone."""

    line: str
    whole: bool


def typed_in(text: str) -> Iterator[Typed]:
    """Every `research ...` in a page: in its blocks (but those of plain text) and in its inline code."""
    for language, block in FENCE.findall(text):
        if language == "text":
            continue
        for line in block.splitlines():
            words = re.match(r"(?:\$ )?(?:docker compose exec worker )?(?:\.venv/bin/)?(research( .*)?)$", line)
            if words:
                yield Typed(words[1], whole=True)
    for code in re.findall(r"`(research(?: [^`]*)?)`", FENCE.sub("", text)):
        yield Typed(" ".join(code.split()), whole=False)


def fault_of(typed: Typed) -> str | None:
    """What the parser says against it; nothing is run."""
    line = re.sub(r"\bN\b", "7", typed.line.replace("...", ""))
    words = hoist(shlex.split(line, comments=True)[1:])
    try:
        _parse(words)
    except Exit:
        return None  # --help
    except (TyperException, CommandError) as error:
        missing = type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError")
        return None if missing and not typed.whole else f"{typed.line}: {error}"
    return None


def _parse(words: list[str], command: Any = None, name: str = "research", parent: Any = None) -> None:
    """As the parser itself goes from command to subcommand."""
    command = command or TREE
    context = command.make_context(name, list(words), parent=parent, obj=Invocation())
    rest = [*context._protected_args, *context.args]
    if isinstance(command, TyperGroup) and rest:
        found, chosen, left = command.resolve_command(context, rest)
        _parse(left, chosen, str(found), context)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_line_parses(page: Path) -> None:
    faults = [fault for typed in typed_in(page.read_text()) if (fault := fault_of(typed))]
    assert not faults


@pytest.mark.parametrize(
    "line",
    [
        "research strat",
        "research start --sede 7",
        "research start --seed seven",
        "research show",
        "research budget sett --tokens 7",
        "research list --outcome lost",
        "research show CYCLE too much",
        "research start -o yaml",
    ],
)
def test_a_command_line_that_the_parser_would_refuse_is_found(line: str) -> None:
    (typed,) = typed_in(f"```sh\n{line}\n```\n")
    assert fault_of(typed)


# Codes.


def errors_made(folder: Path) -> Iterator[tuple[ast.Call, str]]:
    """Every call that makes an error of a command, or an answer of the HTTP face (`failed`), and where it stands."""
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "CommandError" for base in node.bases):
                found = [each for each in ast.walk(node) if _is_super_init(each)]
            else:
                made = isinstance(node, ast.Call) and ast.unparse(node.func) in ("CommandError", "failed")
                found = [node] if made else []
            for call in found:
                assert isinstance(call, ast.Call)
                yield call, f"{file.name}:{call.lineno}"


def codes_of_commands(folder: Path) -> set[str]:
    """The codes that errors are made with, as the code has them. One that can't be read off fails."""
    return {code for call, where in errors_made(folder) for code in _code_in(call.args[1], where)}


def _is_super_init(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__"


def _code_in(code: ast.expr, where: str) -> set[str]:
    match ast.unparse(code):
        case "error.code.value" | "error.code" | "away.code":
            return set()  # one of ErrorCode, or of another CommandError
        case "admission.reason or 'refused'":
            return {*Refusal, "refused"}
        case text if text.startswith("ErrorCode."):
            return set()
    assert isinstance(code, ast.Constant), f"{where}: the code {ast.unparse(code)} can't be read off"
    return {str(code.value)}


def rows(page: str) -> dict[str, list[list[str]]]:
    """Of the tables whose first column is `code`, the other cells by the code in it."""
    found: dict[str, list[list[str]]] = {}
    for table in re.findall(r"^\| code \|.*\n\|[-| ]+\n((?:\|.*\n)+)", (PROJECT / "docs" / page).read_text(), re.M):
        for line in table.splitlines():
            code, *cells = [cell.strip() for cell in line.split("|")[1:-1]]
            found.setdefault(code.strip("`"), []).append(cells)
    return found


def test_every_code_has_a_row_and_every_row_a_code() -> None:
    explained = rows("troubleshooting.md")
    codes = codes_of_commands(PROJECT / "client")
    assert len(codes) > 20
    assert set(explained) == codes | set(ErrorCode) | set(Refusal)
    assert all(cell for cells in explained.values() for row in cells for cell in row)


def test_an_exit_code_or_status_in_a_row_is_the_one_that_the_code_ends_with() -> None:
    explained, looked_at = rows("troubleshooting.md"), set()
    for call, where in errors_made(PROJECT / "client"):
        how = re.fullmatch(r"ExitCode\.(\w+)|(\d{3})", ast.unparse(call.args[0]))
        codes = _code_in(call.args[1], where)
        of_the_face = how and how[1] and where.startswith("serve_")  # which has a status in place of an exit code
        if how and len(codes) == 1 and not codes & set(ErrorCode) and not of_the_face:
            (code,) = codes
            number = str(ExitCode[how[1]].value) if how[1] else how[2]
            assert number in [cells[0] for cells in explained[code]], where
            looked_at.add(code)
    assert len(looked_at) > 25


def test_whether_it_is_tried_again_and_what_it_costs_is_as_the_code_has_it() -> None:
    explained = {
        code: cells for code, found in rows("troubleshooting.md").items() for cells in found if len(cells) == 4
    }
    assert set(explained) == set(ErrorCode)
    for code in ErrorCode:
        _, again, cost, _ = explained[code]
        lost = code in (ErrorCode.ANSWER_LOST, ErrorCode.ANTHROPIC_TIMEOUT)
        assert again.startswith("paid anew" if lost else "yes" if code.retryable else "no"), code
        assert cost.startswith("its ceiling") == lost, code
        assert code not in COSTS_NOTHING or cost == "nothing", code


# The pages for a newcomer, as they stand there.


class Step(NamedTuple):
    """What is typed, what it has to end with, and lines that it has to print."""

    command: str
    code: int
    shown: list[str]


def steps(page: str) -> list[Step]:
    """The commands of a page's console blocks, after `$ `, with a heredoc to its end; what follows is shown."""
    found: list[Step] = []
    for language, block in FENCE.findall((PROJECT / "docs" / page).read_text()):
        lines = iter(block.splitlines() if language == "console" else [])
        for line in lines:
            if not line.startswith("$ "):
                found[-1].shown.append(line)
                continue
            command = line.removeprefix("$ ")
            code = re.search(r"# exit code (\d+)$", command)
            if "<<'EOF'" in command:
                command = "\n".join([command, *takewhile(lambda each: each != "EOF", lines), "EOF"])
            found.append(Step(command, int(code[1]) if code else 0, []))
    return found


@pytest.fixture
def newcomer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator["Newcomer"]:
    """Somebody in the project's folder (but for what they write), with `research` on PATH and nothing set."""
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "engine").symlink_to(PROJECT / "engine")
    monkeypatch.chdir(clone)
    for name in os.environ:
        if name.startswith(("TEMPORAL_", "RESEARCH_", "ANTHROPIC_", "AGENT_", "KTRDR_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RESEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{RESEARCH.parent}{os.pathsep}{os.environ['PATH']}")
    person = Newcomer(tmp_path / "dev.log", capsys)
    try:
        yield person
    finally:
        person.leave()


class Newcomer:
    """Types line by line. Single commands run in this process, which has imported everything once; the rest in bash."""

    def __init__(self, told: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._told = told
        self._capsys = capsys
        self._cycle: str | None = None
        self._dev: subprocess.Popen[bytes] | None = None

    def type(self, step: Step) -> None:
        if step.command == "research dev":
            self._start_dev()
            return
        assert self._cycle or "CYCLE" not in step.command, "no cycle was started yet"
        code, said = self._run(step.command.replace("CYCLE", self._cycle or ""))
        assert code == step.code, f"$ {step.command}\n{said}"
        printed = [line.rstrip() for line in said.splitlines()]
        assert [line for line in step.shown if line not in printed] == [], f"$ {step.command}\n{said}"
        named = CYCLE_ID.search(said)
        self._cycle = self._cycle or (named[0] if named else None)

    def _run(self, command: str) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        if command.startswith("research ") and not set("|<>&$;\n") & set(command):
            self._capsys.readouterr()
            code = run(shlex.split(command, comments=True)[1:])
            return code, "".join(self._capsys.readouterr())
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout + done.stderr

    def _start_dev(self) -> None:
        """In their first terminal, which stays open."""
        with self._told.open("wb") as log:
            self._dev = subprocess.Popen([RESEARCH, "dev"], stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE
        while "ready:" not in self._told.read_text():
            assert self._dev.poll() is None, self._told.read_text()
            assert time.monotonic() < deadline, self._told.read_text()
            time.sleep(0.05)

    def leave(self) -> None:
        if self._dev is not None:
            self._dev.send_signal(signal.SIGINT)
            assert self._dev.wait(PATIENCE) == 0


def test_the_pages_for_a_newcomer_run_as_they_stand_there(newcomer: Newcomer) -> None:
    typed = [step for page in NEWCOMERS for step in steps(page)]
    assert len(typed) > 20
    for step in typed:
        newcomer.type(step)


@pytest.mark.parametrize("command", ["echo one; (exit 3)", "research config --sede"], ids=["bash", "here"])
def test_a_step_that_ends_or_prints_otherwise_is_found(newcomer: Newcomer, command: str) -> None:
    code = 2 if command.startswith("research") else 3
    newcomer.type(Step(command, code, []))
    with pytest.raises(AssertionError):
        newcomer.type(Step(command, 0, []))
    with pytest.raises(AssertionError):
        newcomer.type(Step(command, code, ["two"]))
