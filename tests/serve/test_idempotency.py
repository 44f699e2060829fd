"""A trigger that is sent again with its key: one cycle, whatever became of the first answer."""

import asyncio
import uuid

import httpx
import pytest

from .conftest import STRATEGY

pytestmark = pytest.mark.usefixtures("cancelled")

START = {"designer": "offline", "strategy": STRATEGY}


@pytest.fixture
def key() -> dict[str, str]:
    """A key of its own, as the header that carries it."""
    return {"Idempotency-Key": uuid.uuid4().hex}


async def test_the_same_key_and_body_are_the_same_cycle_while_it_runs_and_after(
    face: httpx.AsyncClient, key: dict[str, str]
) -> None:
    first = await face.post("/agent/trigger", json=START, headers=key)
    again = await face.post("/agent/trigger", json={"seed": 0, **START}, headers=key)  # what is the default anyway
    await face.delete(f"/agent/cancel/{first.json()['data']['operation_id']}")
    after = await face.post("/agent/trigger", json=START, headers=key)

    assert first.status_code == again.status_code == after.status_code == 202
    assert first.json() == again.json() == after.json()
    assert (await face.get("/agent/status")).json()["status"] == "idle"


async def test_sent_many_times_at_once_it_is_one_cycle(face: httpx.AsyncClient, key: dict[str, str]) -> None:
    answers = await asyncio.gather(*(face.post("/agent/trigger", json=START, headers=key) for _ in range(5)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["data"]["operation_id"] for answer in answers}) == 1


async def test_another_body_with_the_same_key_is_a_conflict(face: httpx.AsyncClient, key: dict[str, str]) -> None:
    first = await face.post("/agent/trigger", json=START, headers=key)
    other = await face.post("/agent/trigger", json={**START, "seed": 1}, headers=key)

    operation_id = first.json()["data"]["operation_id"]
    assert other.status_code == 409
    assert other.json() == {
        "success": False,
        "error": {
            "code": "idempotency_conflict",
            "message": f"this Idempotency-Key has started {operation_id} with another body",
            "next": "send a new key with a new body",
        },
    }


async def test_a_refusal_is_told_again_by_the_same_key_and_not_by_a_new_one(
    face: httpx.AsyncClient, key: dict[str, str]
) -> None:
    active = (await face.post("/agent/trigger", json=START)).json()["data"]["operation_id"]
    refused = await face.post("/agent/trigger", json=START, headers=key)
    await face.delete(f"/agent/cancel/{active}")
    again = await face.post("/agent/trigger", json=START, headers=key)
    anew = await face.post("/agent/trigger", json=START, headers={"Idempotency-Key": uuid.uuid4().hex})

    assert refused.status_code == again.status_code == 409
    assert refused.json() == again.json()
    assert refused.json() == {"triggered": False, "reason": "active_operation_exists", "operation_id": active}
    assert anew.status_code == 202


@pytest.mark.parametrize("odd", ["", "k" * 201, "two words"])
async def test_a_key_that_does_not_hold_is_refused(face: httpx.AsyncClient, odd: str) -> None:
    answer = await face.post("/agent/trigger", json=START, headers={"Idempotency-Key": odd})

    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["error"]["message"]
