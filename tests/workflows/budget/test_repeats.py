"""Messages sent twice, the second time to the ledger's next run: each counts once, and gets the same answer."""

from collections.abc import Awaitable, Callable
from typing import Any

from domain.ledger import Closed, Granted, Refused

Start = Callable[..., Awaitable[Any]]

USED = 30


async def test_an_opening_repeated_to_the_next_run_holds_once_and_is_answered_as_before(open_house: Start) -> None:
    house = await open_house(tokens=1_000, active=5, continue_after_events=20)
    voice = await house.voice()
    opening = voice.open(400)
    await opening()
    await voice.heard(1)
    await house.next_run()
    await opening()
    first, second = await voice.heard(2)
    assert isinstance(first, Granted)
    assert first == second
    status = await house.status()
    assert (len(status.active), status.tokens_held, status.tokens_remaining) == (1, 400, 600)


async def test_a_refusal_is_the_same_from_the_next_run_even_if_there_would_be_room_by_then(open_house: Start) -> None:
    house = await open_house(tokens=1_000, active=5, continue_after_events=20)
    holder, late = await house.voice(), await house.voice()
    await holder.open(800)()
    await holder.heard(1)
    opening = late.open(400)
    await opening()
    await late.heard(1)
    await holder.close(0)()
    await holder.heard(2)
    await house.next_run()
    await opening()
    first, second = await late.heard(2)
    assert isinstance(first, Refused)
    assert first == second
    assert (await house.status()).tokens_held == 0


async def test_a_record_repeated_to_the_next_run_counts_once(open_house: Start) -> None:
    house = await open_house(tokens=1_000, continue_after_events=20)
    voice = await house.voice()
    await voice.open(400)()
    await voice.heard(1)
    record = voice.record(1, USED)
    await record()
    await house.next_run()
    await record()
    status = await house.status()
    assert (status.tokens_settled, status.tokens_held, status.invocations_today) == (USED, 400 - USED, 1)


async def test_a_top_up_repeated_to_the_next_run_holds_once_and_is_answered_as_before(open_house: Start) -> None:
    house = await open_house(tokens=1_000, continue_after_events=20)
    voice = await house.voice()
    await voice.open(400)()
    await voice.heard(1)
    more = voice.top_up(100)
    await more()
    await voice.heard(2)
    await house.next_run()
    await more()
    _, first, second = await voice.heard(3)
    assert isinstance(first, Granted)
    assert first == second
    assert (await house.status()).tokens_held == 500


async def test_a_close_repeated_to_the_next_run_frees_once_and_is_acknowledged_again(open_house: Start) -> None:
    house = await open_house(tokens=1_000, continue_after_events=20)
    voice = await house.voice()
    await voice.open(400)()
    await voice.record(1, USED)()
    close = voice.close(1)
    await close()
    await voice.heard(2)
    await house.next_run()
    await close()
    _, first, second = await voice.heard(3)
    assert isinstance(first, Closed)
    assert first == second
    status = await house.status()
    assert (status.active, status.tokens_settled, status.tokens_remaining) == ((), USED, 1_000 - USED)


async def test_an_opening_repeated_after_its_close_opens_nothing_in_the_next_run(open_house: Start) -> None:
    house = await open_house(tokens=1_000, continue_after_events=20)
    voice = await house.voice()
    opening = voice.open(400)
    await opening()
    await voice.close(0)()
    await voice.heard(2)
    await house.next_run()
    await opening()
    assert isinstance((await voice.heard(3))[2], Closed)
    assert (await house.status()).active == ()
