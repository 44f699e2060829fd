"""Strategy files that chance or malice wrote: what is wrong is told with its line, and nothing of them is kept."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

from client.exits import ExitCode
from engine.bars import SAMPLES

from .conftest import Tried, files, typed
from .trees import changed

KNOWN = [
    path.read_text()
    for path in (
        *sorted((Path(__file__).parent.parent / "domain" / "strategies").glob("*.yaml")),
        *SAMPLES.glob("*.yaml"),
    )
]
TREES = [yaml.safe_load(text) for text in KNOWN]
PLANTED = (SAMPLES / "planted_edge.yaml").read_text()

DEEP = "a: " + "[" * 40_000
BOMB = "a: &a [x, x]\n" + "".join(
    f"{key}: &{key} [*{last}, *{last}]\n" for last, key in zip("abcdefg", "bcdefgh", strict=True)
)
SPLICES = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x85", b"\t", b"\r", b"---\n", b"...\n", b"%YAML 9.9\n---\n", b"&a ", b"*a",
    b"<<: *a\n", b"!!python/object/apply:os.system [id]", b"!!binary aGk=", b"!<x> ", b"? [a]\n: b\n", b"name: twice\n",
    b"{" * 200, b"- " * 200, b"'", b'"\\x', b"|", b"9" * 10_000, b"1e999", b".nan", b"0o17", b"a" * 300_000,
    "\U0001f600\u2028\u202e".encode(), DEEP.encode(), BOMB.encode(),
)  # fmt: skip


@st.composite
def with_other_bytes(draw: st.DrawFn) -> bytes:
    """A file of ours with bytes put in, taken out, or cut off."""
    content = draw(st.sampled_from(KNOWN)).encode()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        inserted = draw(st.sampled_from(SPLICES) | st.binary(max_size=4))
        rest = draw(st.sampled_from([content[at:], content[at + 1 :], content[at + 20 :], b""]))
        content = content[:at] + inserted + rest
    return content


class Plain(yaml.SafeDumper):
    """Writes what stands twice twice: an alias would be refused before anything else is looked at."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def in_yaml(tree: Any) -> bytes:
    """The tree as a file."""
    return yaml.dump(tree, sort_keys=False, allow_unicode=True, Dumper=Plain).encode()


@pytest.mark.parametrize("mutants", [with_other_bytes(), changed(*TREES).map(in_yaml)], ids=["bytes", "values"])
def test_a_file_is_valid_or_told_line_by_line_and_only_what_is_valid_is_kept(
    home: Path, tried: Tried, mutants: st.SearchStrategy[bytes]
) -> None:
    file = Path("mutant.yaml")

    def check(content: bytes) -> None:
        file.write_bytes(content)
        before = files(home)
        report = typed("strategy", "validate", str(file), "-o", "json")
        started = typed("start", "--designer", "offline", "--strategy", str(file))
        kept = {path: text for path, text in files(home).items() if path not in before}

        assert report.is_told
        assert report.code in (ExitCode.OK, ExitCode.USAGE)
        if report.code != ExitCode.OK and len(content) <= 256 * 1024:
            issues = report.error["strategy"]["issues"]
            assert issues
            assert all(issue["message"] and issue["line"] >= 1 for issue in issues)
        assert started.is_told
        assert started.code in (ExitCode.USAGE, ExitCode.NO_TEMPORAL_OR_WORKER)
        assert not kept or (started.code == ExitCode.NO_TEMPORAL_OR_WORKER and report.code == ExitCode.OK)
        assert set(kept.values()) <= {content}

    tried(check, mutants, examples=75)


@pytest.mark.parametrize(
    "content",
    [b"", b"#" * 10_000_000, DEEP.encode(), BOMB.encode(), PLANTED.encode() + b"x: !!python/object/new:A\n",
     PLANTED.encode() + b"\nname: another\n", PLANTED.encode("utf-16"), bytes(range(256)) * 1_000],
    ids=["nothing", "10 MB", "deep", "aliases", "an object", "a key twice", "UTF-16", "binary"],
)  # fmt: skip
def test_what_is_no_strategy_at_all_is_refused_by_both_commands_and_not_kept(home: Path, content: bytes) -> None:
    file = Path("mutant.yaml")
    file.write_bytes(content)

    for verb in (["strategy", "validate"], ["start", "--designer", "offline", "--strategy"]):
        ran = typed(*verb, str(file))
        assert ran.code == ExitCode.USAGE
        assert str(file) in ran.err
        assert ran.is_told
    assert files(home) == {}
