"""`research serve` as a process: it says where it is, and ends when it is told to."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from .conftest import TOKEN, House, asking


async def test_it_tells_its_address_answers_and_ends_well_by_ctrl_c(house: House, tmp_path: Path) -> None:
    settings, token_file = house.settings, tmp_path / "token"
    token_file.write_text(f"{TOKEN.get_secret_value()}\n")
    script = "from client.main import main; main()"
    flags = ["--home", str(settings.home), "--address", str(settings.temporal_address), "-o", "json"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, "serve", "--host", "0.0.0.0", "--port", "0", "--token-file", str(token_file)),
        *(*flags, "--namespace", str(settings.temporal_namespace)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"RESEARCH_SERVE_TOKEN": "another-token-than-the-files"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        where = json.loads(await process.stdout.readline())
        async with asking(where["address"].replace("0.0.0.0", "127.0.0.1")) as ask:
            answer = await ask.get("/agent/status", headers={"authorization": f"Bearer {TOKEN.get_secret_value()}"})
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()

    assert (process.returncode, where["token"], out) == (0, True, b"")
    assert answer.status_code == 200
    assert "curl -H 'Authorization: Bearer TOKEN'" in err.decode()
    assert err.endswith(b"stopped; cycles go on\n")
    assert b"Traceback" not in err
