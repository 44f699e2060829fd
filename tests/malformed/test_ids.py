"""Ids that are none, and other nonsense, in commands that a running server answers."""

from pathlib import Path

import pytest
from hypothesis import strategies as st
from temporalio.testing import WorkflowEnvironment

from client.exits import ExitCode
from store.cycles import Store

from .conftest import Tried, files, typed
from .test_arguments import ANY_WORD

ASKING = (("status",), ("status", "--watch"), ("show",), ("show", "--transcript"), ("cancel",))
IDS = ANY_WORD | st.sampled_from(["cycle-20260101-000000-0000", "budget", "a'b\"c", "x" * 1_001, "*", "%00", "é😀"])

TOLD = ("there is no cycle", "the cycle's id is empty", "is not text", "the server has no history of")


def test_whatever_is_typed_for_an_id_a_running_server_knows_no_such_cycle(
    home: Path, tried: Tried, temporal_env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal_env.client.service_client.config.target_host)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", temporal_env.client.namespace)
    home.mkdir()
    Store.open(f"sqlite:///{home / 'research.db'}", migrate=True).close()

    def check(asking: tuple[str, ...], name: str, reason: str, form: str) -> None:
        given = [f"--reason={reason}"] if asking == ("cancel",) else []
        ran = typed(*asking, *given, "-o", form, "--", name)
        assert ran.is_told, ran
        assert ran.code == (ExitCode.FAILED if "history" in ran.out + ran.err else ExitCode.USAGE), ran
        told = ran.error["message"] if form == "json" else ran.err
        assert any(words in told for words in TOLD), ran
        assert form == "json" or "\x1b" not in ran.err

    tried(check, st.sampled_from(ASKING), IDS, ANY_WORD, st.sampled_from(["text", "json"]), examples=40)
    assert {path.suffix for path in files(home)} <= {".db", ".db-wal", ".db-shm"}
