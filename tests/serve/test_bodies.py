"""What the face answers, body by body."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from client.budget import pause, require_status, resume, set_limits
from domain.ledger import LimitsChange

from .conftest import STRATEGY, House

START = {"designer": "offline", "strategy": STRATEGY, "seed": 7}


@pytest.mark.usefixtures("cancelled")
async def test_a_cycle_is_triggered_seen_and_cancelled(face: httpx.AsyncClient, house: House) -> None:
    idle = (await face.get("/agent/status")).json()
    started = await face.post("/agent/trigger", json=START)
    operation_id = started.json()["data"]["operation_id"]
    async with asyncio.timeout(30):
        while (active := (await face.get("/agent/status")).json())["operation"]["phase"] != "training":
            await asyncio.sleep(0.05)
    refused = await face.post("/agent/trigger", json={"designer": "offline"})
    cancelled = await face.request("DELETE", f"/agent/cancel/{operation_id}", json={"reason": "enough"})
    again = await face.delete(f"/agent/cancel/{operation_id}")

    ledger = (await require_status(house.client)).model_dump(mode="json")
    assert (idle["status"], idle["operation"]) == ("idle", None)
    assert set(idle) == {"status", "operation", "budget"}
    assert set(idle["budget"]) == set(ledger)
    assert started.status_code == 202
    assert started.json() == {"success": True, "data": {"triggered": True, "operation_id": operation_id}}
    assert {name: active[name] for name in ("status", "operation")} == {
        "status": "active",
        "operation": {
            "id": operation_id,
            "phase": "training",
            "progress": {"percentage": 20.0, "current_step": "waiting for an engine worker"},
            "strategy_name": "small",
            "metadata": {"training_result": None, "backtest_result": None},
        },
    }
    assert [holding["cycle_id"] for holding in active["budget"]["active"]] == [operation_id]
    assert refused.status_code == 409
    assert refused.json() == {
        "triggered": False,
        "reason": "active_operation_exists",
        "operation_id": operation_id,
    }
    assert cancelled.status_code == 200
    assert cancelled.json() == {
        "success": True,
        "data": {"operation_id": operation_id, "ended": True, "stopped_in": "training"},
    }
    assert again.status_code == 409
    assert again.json() == {
        "success": False,
        "error": {
            "code": "not_cancellable",
            "message": f"{operation_id} has already ended as cancelled: there is nothing to cancel",
            "next": f"`research show {operation_id}` tells how it ended",
        },
    }
    described = await house.client.get_workflow_handle(operation_id).describe()
    assert (await described.memo())["cancel_reason"] == "enough"


@pytest.mark.usefixtures("cancelled")
async def test_a_saved_strategy_is_taken_by_its_name(face: httpx.AsyncClient) -> None:
    first = (await face.post("/agent/trigger", json=START)).json()["data"]["operation_id"]
    await face.delete(f"/agent/cancel/{first}")

    started = await face.post("/agent/trigger", json={"designer": "offline", "strategy": "small"})

    assert started.status_code == 202
    status = (await face.get("/agent/status")).json()
    assert status["operation"]["id"] == started.json()["data"]["operation_id"]


@pytest.mark.usefixtures("cancelled")
async def test_the_one_that_works_is_told_and_not_those_that_wait_behind_it(face: httpx.AsyncClient) -> None:
    works = (await face.post("/agent/trigger", json=START)).json()["data"]["operation_id"]
    waits = (await face.post("/agent/trigger", json={**START, "queue": True})).json()["data"]["operation_id"]
    first = (await face.get("/agent/status")).json()
    await face.delete(f"/agent/cancel/{works}")
    second = (await face.get("/agent/status")).json()

    assert first["operation"]["id"] == works
    assert [one["cycle_id"] for one in first["budget"]["waiting"]] == [waits]
    assert second["operation"]["id"] == waits


@pytest.fixture
async def no_tokens(house: House) -> AsyncIterator[None]:
    """A day that allows no token."""
    await set_limits(house.client, LimitsChange(tokens_per_day=0))
    yield
    await set_limits(house.client, LimitsChange(tokens_per_day=house.settings.daily_token_budget))


@pytest.mark.usefixtures("no_tokens")
async def test_a_day_without_tokens_refuses_with_its_figures(face: httpx.AsyncClient) -> None:
    refused = await face.post("/agent/trigger", json={"designer": "claude", "model": "sonnet"})

    message = refused.json()["message"]
    assert refused.status_code == 409
    assert refused.json() == {
        "triggered": False,
        "reason": "budget_exhausted",
        "message": message,
        "tokens_used_today": 0,
        "tokens_remaining": 0,
    }
    assert message.startswith("120,000 tokens are needed, more than a whole day's limit of 0.")


async def test_a_paused_budget_says_so(face: httpx.AsyncClient, house: House) -> None:
    await pause(house.client, "holidays")
    try:
        refused = await face.post("/agent/trigger", json={"designer": "offline"})
    finally:
        await resume(house.client)

    assert (refused.status_code, refused.json()["reason"]) == (409, "budget_paused")
    assert "holidays" in refused.json()["message"]


async def test_the_budget_is_the_ledgers_status(face: httpx.AsyncClient, house: House) -> None:
    answer = await face.get("/agent/budget")

    assert answer.status_code == 200
    assert answer.json() == {"success": True, "data": (await require_status(house.client)).model_dump(mode="json")}


async def test_an_id_that_nobody_knows_is_404(face: httpx.AsyncClient) -> None:
    answer = await face.delete("/agent/cancel/cycle-of-nobody")

    assert answer.status_code == 404
    assert answer.json() == {
        "success": False,
        "error": {
            "code": "not_found",
            "message": "there is no cycle cycle-of-nobody",
            "next": "`research list` shows the ids",
        },
    }


JSON = {"content-type": "application/json"}
BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "a field that nobody knows": (b'{"symbl": "EURUSD"}', "body.symbl: Extra inputs are not permitted"),
    "text for a number": (b'{"seed": "7"}', "body.seed: "),
    "a seed out of its bounds": (b'{"seed": 2147483648}', "body.seed: "),
    "a number that is none": (b'{"thresholds": {"backtest_min_sharpe": NaN}}', "body.thresholds.backtest_min_sharpe"),
    "a fraction above one": (b'{"thresholds": {"backtest_max_drawdown": 40}}', "body.thresholds.backtest_max_drawdown"),
    "text for a bound": (b'{"thresholds": {"backtest_min_trades": "1"}}', "body.thresholds.backtest_min_trades"),
    "a brief too long": (json.dumps({"brief": "x" * 8_001}).encode(), "body.brief: "),
    "a NUL": (b'{"brief": "\\u0000"}', "body.brief: "),
    "half a character": (b'{"brief": "\\ud800"}', "body.brief: "),
    "half a character as a name": (b'{"\\ud800": 1}', "body: Input should be a valid string, unable to parse"),
    "a list": (b"[]", "body: "),
    "no JSON": (b"{", "body"),
    "no text": (b'{"brief": "\xff"}', "the body cannot be read as JSON"),
    "too deep": (b"[" * 60_000, "the body cannot be read as JSON"),
    "a symbol without bars": (
        b'{"designer": "offline", "symbol": "EURUSX"}',
        "no bars of 'EURUSX'; did you mean EURUSD?",
    ),
    "a timeframe without bars": (b'{"designer": "offline", "timeframe": "1m"}', "there are no 1m bars of EURUSD"),
    "a model that is misspelt": (b'{"model": "sonet"}', "did you mean sonnet?"),
    "a model for nobody": (b'{"designer": "offline", "model": "opus"}', "model is for the designer claude"),
    "a strategy of no name": (b'{"designer": "offline", "strategy": "nobodys"}', "there is no strategy 'nobodys'"),
    "a path": (b'{"designer": "offline", "strategy": "../../../../../../etc/passwd"}', "is not a valid strategy"),
    "a path of the house": (b'{"designer": "offline", "strategy": "small.yaml"}', "is not a valid strategy"),
    "a strategy with a typo": (
        json.dumps(
            {"designer": "offline", "strategy": STRATEGY.replace("indicator: rsi_14", "indicator: rsi_15")}
        ).encode(),
        "strategy:14: fuzzy_sets.rsi_level.indicator",
    ),
}


@pytest.mark.parametrize(("body", "words"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_body_that_does_not_hold_is_422_by_its_field(face: httpx.AsyncClient, body: bytes, words: str) -> None:
    answer = await face.post("/agent/trigger", content=body, headers=JSON)

    assert answer.status_code == 422
    assert set(answer.json()) == {"success", "error"}
    assert answer.json()["success"] is False
    assert set(answer.json()["error"]) == {"code", "message", "next"}
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"]["next"]
    assert len(answer.content) < 6_000


async def test_json_that_does_not_say_that_it_is_json_is_refused_with_what_to_send(face: httpx.AsyncClient) -> None:
    answer = await face.post(
        "/agent/trigger", content=b'{"designer": "offline"}', headers={"content-type": "text/plain"}
    )

    assert answer.status_code == 422
    assert "`Content-Type: application/json`" in answer.json()["error"]["next"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "no_such_path"),
        ("GET", "/docs", 404, "no_such_path"),
        ("GET", "/agent/status/", 404, "no_such_path"),
        ("PUT", "/agent/trigger", 405, "method_not_allowed"),
        ("OPTIONS", "/agent/trigger", 405, "method_not_allowed"),
    ],
)
async def test_other_paths_and_methods_are_told_in_the_same_shape(
    face: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await face.request(method, path)

    assert answer.status_code == status
    assert (answer.json()["success"], answer.json()["error"]["code"]) == (False, code)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert ("allow" in answer.headers) is (status == 405)


async def test_metrics_count_by_route_and_never_by_what_a_client_makes_up(face: httpx.AsyncClient) -> None:
    await face.get("/made-up-path")
    await face.request("BREW", "/agent/status")
    await face.delete("/agent/cancel/made-up-id")

    page = (await face.get("/metrics")).text

    assert 'ktrdr_agent_http_requests_total{method="GET",route="unknown",status="404"}' in page
    assert 'ktrdr_agent_http_requests_total{method="other",route="/agent/status",status="405"}' in page
    assert 'ktrdr_agent_http_requests_total{method="DELETE",route="/agent/cancel/{operation_id}",status="404"}' in page
    assert 'ktrdr_agent_http_request_duration_seconds_bucket{le="+Inf",route="/agent/status"}' in page
    assert 'ktrdr_agent_budget_tokens{state="limit"} 500000.0' in page
    assert 'ktrdr_agent_scrape_success{source="ledger"} 1.0' in page
    assert "made-up" not in page
    assert "BREW" not in page
