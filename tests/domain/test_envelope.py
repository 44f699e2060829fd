"""The cycle's envelope: what is taken comes back, is spent, or is in flight; nothing is ever negative."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cycle import CallUsage
from domain.envelope import Envelope, EnvelopeExhausted, ask_to_open, days_between
from domain.ledger import Granted, RecordKind

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CAPS = {"design": 90, "assess": 30}


def opened(usd: Decimal | None = None) -> Envelope:
    return Envelope.opened(Granted(key="k", cycle_id="c", run_id="r", tokens=120, usd=usd), CAPS)


def usage(tokens: int) -> CallUsage:
    return CallUsage(model="m", input=tokens)


def test_a_settled_call_costs_what_it_used_and_the_rest_of_its_ceiling_is_free_again() -> None:
    envelope, ticket = opened().take("design", 50, None, NOON)
    assert envelope.free("design") == 40
    envelope, record = envelope.settle(ticket, usage(20), None, NOON)
    assert envelope.free("design") == 70
    assert (record.seq, record.kind, record.tokens, record.ceiling_tokens) == (1, RecordKind.SETTLED, 20, 50)


def test_a_lost_answer_costs_its_whole_ceiling() -> None:
    envelope, ticket = opened().take("design", 50, None, NOON)
    envelope, record = envelope.charge(ticket, "m", NOON)
    assert envelope.free("design") == 40
    assert (record.kind, record.tokens) == (RecordKind.CHARGED, 50)


def test_an_attempt_that_cost_nothing_leaves_no_trace() -> None:
    envelope, ticket = opened().take("design", 50, None, NOON)
    envelope = envelope.put_back(ticket)
    assert (envelope.free("design"), envelope.calls, envelope.close(NOON).calls) == (90, 0, 0)


def test_no_phase_can_spend_what_is_kept_for_another() -> None:
    with pytest.raises(EnvelopeExhausted, match="needs 91 tokens for its next call, and has 90 left"):
        opened().take("design", 91, None, NOON)
    assert opened().free("training") == 0


def test_a_ticket_is_booked_once() -> None:
    envelope, ticket = opened().take("design", 50, None, NOON)
    envelope, _ = envelope.settle(ticket, usage(1), None, NOON)
    with pytest.raises(ValueError, match="booked or put back before"):
        envelope.charge(ticket, "m", NOON)


def test_an_envelope_with_a_call_in_flight_cannot_be_closed() -> None:
    envelope, _ = opened().take("design", 50, None, NOON)
    with pytest.raises(ValueError, match="1 calls are in flight"):
        envelope.close(NOON)


def test_an_answer_above_its_ceiling_is_booked_in_full_and_free_stays_at_zero() -> None:
    envelope, ticket = opened().take("design", 90, None, NOON)
    envelope, record = envelope.settle(ticket, usage(95), None, NOON)
    assert (envelope.free("design"), record.tokens, envelope.tokens_spent) == (0, 95, 95)


def test_under_a_limit_in_dollars_both_must_suffice() -> None:
    envelope, ticket = opened(usd=Decimal("0.10")).take("design", 10, Decimal("0.06"), NOON)
    assert envelope.free_usd == Decimal("0.04")
    with pytest.raises(EnvelopeExhausted, match="needs"):
        envelope.take("design", 10, Decimal("0.05"), NOON)
    with pytest.raises(EnvelopeExhausted, match="without a price"):
        envelope.take("design", 10, None, NOON)
    envelope, record = envelope.settle(ticket, usage(5), Decimal("0.01"), NOON)
    assert (envelope.free_usd, record.usd) == (Decimal("0.09"), Decimal("0.01"))


def test_a_top_up_goes_to_the_phase_that_asked() -> None:
    envelope = opened()
    ask = envelope.ask_more("k2", 15, None, wait=True, at=NOON)
    assert (ask.envelope_key, ask.run_id) == ("k", "r")
    envelope = envelope.topped_up(Granted(key="k2", cycle_id="c", run_id="r", tokens=15), "assess")
    assert (envelope.free("assess"), envelope.free("design")) == (45, 90)


def test_an_envelope_is_asked_for_whole() -> None:
    assert ask_to_open("k", "c", "r", CAPS, None, wait=False, at=NOON).tokens == 120
    with pytest.raises(ValueError, match="sum to 120 tokens, but 100 were granted"):
        Envelope.opened(Granted(key="k", cycle_id="c", run_id="r", tokens=100), CAPS)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-11-23T12:00:00", "2026-11-23T12:02:00", [23]),
        ("2026-11-23T23:59:30", "2026-11-23T23:59:40", [23, 24]),
        ("2026-11-24T00:00:20", "2026-11-24T00:00:30", [23, 24]),
        ("2026-11-23T23:50:00", "2026-11-25T00:10:00", [23, 24, 25]),
    ],
)
def test_a_call_counts_on_every_day_on_which_it_may_have_been_billed(start: str, end: str, days: list[int]) -> None:
    first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end))
    assert days_between(first, last) == tuple(date(2026, 11, day) for day in days)


def test_a_lost_answer_counts_on_the_next_day_too_if_the_provider_may_go_on_past_midnight() -> None:
    late = NOON.replace(hour=23, minute=50)
    envelope, ticket = opened().take("design", 50, None, late)
    _, record = envelope.charge(ticket, "m", late + timedelta(minutes=2))
    assert record.days == (date(2026, 11, 23), date(2026, 11, 24))


def test_an_envelope_survives_being_written_down() -> None:
    envelope, _ = opened(usd=Decimal("0.1")).take("design", 50, Decimal("0.03"), NOON)
    assert Envelope.model_validate_json(envelope.model_dump_json()) == envelope


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["design", "assess"]),
            st.integers(0, 60),
            st.integers(0, 100),
            st.sampled_from(["settle", "charge", "put_back", "stay"]),
        ),
        max_size=30,
    )
)
def test_granted_is_settled_and_charged_and_in_flight_and_free_whatever_happens(
    calls: list[tuple[str, int, int, str]],
) -> None:
    envelope, booked = opened(), 0
    for phase, ceiling, share, fate in calls:
        try:
            envelope, ticket = envelope.take(phase, ceiling, None, NOON)
        except EnvelopeExhausted:
            assert ceiling > envelope.free(phase)
            continue
        if fate == "settle":
            envelope, record = envelope.settle(ticket, usage(ceiling * share // 100), None, NOON)
            booked += record.tokens
        elif fate == "charge":
            envelope, record = envelope.charge(ticket, "m", NOON)
            booked += record.tokens
        elif fate == "put_back":
            envelope = envelope.put_back(ticket)
    assert envelope.tokens_spent == booked
    for phase, purse in envelope.purses.items():
        flying = sum(ticket.tokens for ticket in envelope.in_flight if ticket.phase == phase)
        assert purse.granted == purse.settled + purse.charged + flying + envelope.free(phase)
