"""Who may ask the face, and how much."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from client.main import run
from client.serve import serving
from client.serve_bodies import BODY_LIMIT

from .conftest import TOKEN, House, asking

BEARER = f"Bearer {TOKEN.get_secret_value()}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def beyond(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """The face on every address of the machine, with a token."""
    async with (
        serving(house.settings, "0.0.0.0", 0, TOKEN) as at,
        asking(at.address.replace("0.0.0.0", "127.0.0.1")) as ask,
    ):
        yield ask


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "a.name"])
def test_beyond_this_machine_it_does_not_start_without_a_token(
    host: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESEARCH_SERVE_TOKEN", raising=False)

    code = run(["--home", str(tmp_path), "serve", "--host", host, "--port", "0"])

    told = capsys.readouterr()
    assert (code, told.out) == (4, "")
    assert 'python -c "import secrets; print(secrets.token_urlsafe(32))"' in told.err
    assert "RESEARCH_SERVE_TOKEN" in told.err


@pytest.mark.parametrize("token", ["short", "with a space in it, and long", "ümlaut-ümlaut-ümlaut", ""])
def test_a_token_that_is_easily_guessed_or_cannot_be_sent_is_refused_and_not_repeated(
    token: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(token)

    code = run(["--home", str(tmp_path), "serve", "--host", "0.0.0.0", "--token-file", str(tmp_path / "token")])

    told = capsys.readouterr()
    assert (code, told.out) == (4, "")
    assert "serve_token_file" in told.err
    assert not token or token not in told.err


@pytest.mark.parametrize("path", ["/agent/status", "/agent/budget", "/metrics", "/openapi.json", "/no-such-path"])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN.get_secret_value()}", BEARER[:-1], BEARER + "x"]
)
async def test_without_the_token_nothing_is_told(beyond: httpx.AsyncClient, path: str, header: str | None) -> None:
    answer = await beyond.get(path, headers={} if header is None else {"authorization": header})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (answer.json()["success"], answer.json()["error"]["code"]) == (False, "unauthorized")
    assert TOKEN.get_secret_value() not in answer.text


async def test_without_the_token_nothing_is_started(beyond: httpx.AsyncClient) -> None:
    refused = await beyond.post("/agent/trigger", json={"designer": "offline"})
    status = await beyond.get("/agent/status", headers={"authorization": BEARER})

    assert refused.status_code == 401
    assert status.json()["status"] == "idle"


async def test_with_the_token_it_answers_whatever_the_host_is_called(beyond: httpx.AsyncClient) -> None:
    answer = await beyond.get("/agent/status", headers={"authorization": BEARER, "host": "lab.example"})
    described = (await beyond.get("/openapi.json", headers={"authorization": BEARER})).json()

    assert answer.status_code == 200
    assert {"401"} <= set(described["paths"]["/agent/status"]["get"]["responses"])
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert (await beyond.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "["]
)
async def test_a_name_that_was_bound_anew_to_this_machine_is_refused(face: httpx.AsyncClient, host: str) -> None:
    answer = await face.get("/agent/status", headers={"host": host})

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8765"])
async def test_this_machines_own_names_are_answered(face: httpx.AsyncClient, host: str) -> None:
    assert (await face.get("/healthz", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "file://"])
async def test_a_page_of_another_site_starts_nothing(face: httpx.AsyncClient, origin: str) -> None:
    answer = await face.post("/agent/trigger", json={"designer": "offline"}, headers={"origin": origin})

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert (await face.get("/agent/status")).json()["status"] == "idle"


async def chunks(size: int) -> AsyncIterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize("path", ["/agent/trigger", "/agent/status"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
async def test_a_body_too_large_is_413(face: httpx.AsyncClient, chunked: bool, path: str) -> None:
    size = BODY_LIMIT + 1024
    body = chunks(size) if chunked else b" " * size

    answer = await face.post(path, content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def test_a_body_of_just_the_limit_is_read(face: httpx.AsyncClient) -> None:
    body = b'{"seed": "7"}'
    answer = await face.post(
        "/agent/trigger", content=body + b" " * (BODY_LIMIT - len(body)), headers={"content-type": "application/json"}
    )

    assert answer.status_code == 422


async def half(address: httpx.URL, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a request has begun."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


HEAD = b"POST /agent/trigger HTTP/1.1\r\nHost: localhost\r\n"
BODY = HEAD + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


async def test_slow_clients_hold_nobody_up_and_are_let_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.serve.HEAD_PATIENCE", 0.3)
    async with (
        serving(house.settings, "127.0.0.1", 0, body_patience=0.3) as at,
        asking(at.address) as ask,
        asyncio.timeout(30),
    ):
        slow = [await half(ask.base_url, sent) for sent in [b"", HEAD[:9], HEAD, BODY] for _ in range(10)]
        status = (await ask.get("/agent/status")).status_code
        ends = [await reader.read() for reader, _ in slow]
        for _, writer in slow:
            writer.close()

    assert status == 200
    assert ends[:30] == [b""] * 30
    assert all(end.startswith(b"HTTP/1.1 408 ") and b'"code":"too_slow"' in end for end in ends[30:])


async def test_more_requests_than_it_takes_at_once_are_told_to_come_again(
    face: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.serve_guard.MOST_AT_ONCE", 1)
    _, writer = await half(face.base_url, BODY)
    try:
        async with asyncio.timeout(30):
            while (answer := await face.get("/healthz")).status_code == 200:
                await asyncio.sleep(0.02)
    finally:
        writer.close()

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_head_that_does_not_end_is_refused(face: httpx.AsyncClient) -> None:
    reader, writer = await half(face.base_url, HEAD + b"X: " + b"y" * 20_000)
    async with asyncio.timeout(30):
        end = await reader.read()
    writer.close()

    assert end.startswith(b"HTTP/1.1 400 ")


def test_a_port_that_is_taken_is_told_in_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = run(["--home", str(tmp_path), "serve", "--port", str(port)])

    told = capsys.readouterr()
    assert (code, told.out) == (4, "")
    assert f"cannot listen on 127.0.0.1:{port}" in told.err
    assert "--port" in told.err
