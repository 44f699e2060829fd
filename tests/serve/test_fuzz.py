"""The face against its own description: schemathesis sends what fits it and what does not."""

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from .conftest import STRATEGY

# Left out is that whatever fits is accepted: no schema says which symbols have bars, and which strategies there are.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
)


@pytest.mark.usefixtures("cancelled")
async def test_every_answer_is_one_that_the_description_names(
    face: httpx.AsyncClient, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Each bound is tried from both sides in any case; the long form draws at random beside that.
    phases = "coverage,fuzzing" if request.config.getoption("--chaos") else "coverage"
    # The one place is taken: what the requests start is refused, or waits in the queue until it is cancelled.
    await face.post("/agent/trigger", json={"designer": "offline", "strategy": STRATEGY})

    fuzzing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", str(face.base_url.join("/openapi.json"))),
        *("--checks", ",".join(CHECKS), "--phases", phases, "--mode", "all"),
        *("--max-examples", "100", "--seed", "1", "--generation-database", "none", "--no-color"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await fuzzing.communicate()

    assert fuzzing.returncode == 0, said.decode()
    assert "6 selected / 6 total" in said.decode()
