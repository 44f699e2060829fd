"""A refused admission in words: what was missing, when the day resets, the command that mends it. Pure functions."""

from client.render_values import count, moment
from client.views import Started
from domain.cycle import Admission
from domain.ledger import Refusal


def refusal_message(started: Started) -> str:
    """Why the cycle was not admitted, with the figures that decided."""
    admission = started.admission
    if admission.reason == Refusal.ACTIVE_OPERATION_EXISTS:
        return f"{started.cycle_id} was refused: {_active(admission)}"
    if admission.reason == Refusal.BUDGET_EXHAUSTED and admission.deficit:
        return (
            f"{started.cycle_id} was refused: the day's budget is short of {count(admission.deficit)} tokens "
            f"(limit {_count(admission.limit)}, used {_count(admission.used)}, "
            f"remaining {_count(admission.remaining)}); "
            f"it resets {moment(admission.next_reset)}"
        )
    return f"{started.cycle_id} was refused: {admission.message or admission.reason or 'the ledger gave no reason'}"


def refusal_mend(admission: Admission) -> str:
    """What to type now."""
    again = "the same once more with `--queue` waits for its turn"
    if admission.reason == Refusal.ACTIVE_OPERATION_EXISTS:
        if not admission.active_ids:
            return again
        first = admission.active_ids[0]
        return f"`research status {first} --watch` follows it, `research cancel {first}` ends it, {again}"
    if admission.reason == Refusal.BUDGET_PAUSED:
        return "`research budget resume` lets cycles in again"
    if admission.reason == Refusal.BUDGET_EXHAUSTED and admission.limit is not None and admission.deficit:
        # Only the ledger knows what is held besides, where a limit was lowered below it.
        room = admission.message or f"`research budget set --tokens {admission.limit + admission.deficit}` makes room."
        needed = (admission.remaining or 0) + admission.deficit
        return f"{room} Or {again}." if needed <= admission.limit else room
    return "`research budget` shows the day"


def _active(admission: Admission) -> str:
    ids = admission.active_ids
    if not ids:
        return "another cycle is active"
    return f"{ids[0]} is active" if len(ids) == 1 else f"these cycles are active: {', '.join(ids)}"


def _count(value: int | None) -> str:
    return "unknown" if value is None else count(value)
