"""Any order of messages, crashes, days and limits: the ledger never falls under the provider's bill, nor over a limit.

The biller is a dictionary of its own: it imports no arithmetic of the ledger and bills whatever reached the provider,
also calls whose answer was lost and those of cycles that have gone, by a clock that differs from ours.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.cycle import CallUsage
from domain.envelope import Envelope, Ticket, ask_to_open
from domain.ledger import (
    Close,
    Closed,
    Granted,
    Ledger,
    LedgerState,
    Limits,
    LimitsChange,
    Open,
    Queued,
    Record,
    Refused,
    Reply,
    RunFate,
    RunReport,
    TopUp,
)

EVENING = datetime(2026, 11, 23, 23, 40, tzinfo=UTC)
ANY = st.integers(0, 10**6)
PHASE = "design"
PROVIDER_MAY_GO_ON = timedelta(minutes=14)

Message = Open | TopUp | Record | Close


@dataclass
class Cycle:
    """One cycle as the model knows it."""

    name: str
    tokens: int
    key: str
    alive: bool = True
    envelope: Envelope | None = None
    refused: bool = False
    closing: bool = False
    closed: bool = False
    flying: list[Ticket] = field(default_factory=list)
    topping: str | None = None
    answers: dict[str, str] = field(default_factory=dict)


@dataclass
class Unanswered:
    """A call at the provider whose answer nobody waits for any more."""

    tokens: int
    until: datetime


class LedgerMachine(RuleBasedStateMachine):
    """Cycles, a network that repeats and reorders, a provider that bills, a ledger that crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = EVENING
        self.cycles: dict[str, Cycle] = {}
        self.network: list[Message] = []
        self.unanswered: list[Unanswered] = []
        self.bill: dict[date, int] = defaultdict(int)
        self.totals: dict[date, int] = {}
        self.held_before = 0
        self.slots_before = 0
        self.sweeping: list[str] | None = None
        self.conservative = False  # whether the ledger may, by right, have more in its books than was billed

    @initialize(limit=st.sampled_from([0, 60, 150, 400]), active=st.integers(1, 4), skew=st.integers(-59, 59))
    def start(self, limit: int, active: int, skew: int) -> None:
        self.skew = timedelta(seconds=skew)
        limits = Limits(tokens_per_day=limit, max_active_cycles=active)
        self.ledger = Ledger(LedgerState.new(limits, self.now))

    # Cycles

    @precondition(lambda self: len(self.unfinished()) < 4)
    @rule(tokens=st.sampled_from([0, 30, 60, 120]), wait=st.booleans(), arrives=st.booleans())
    def a_cycle_opens(self, tokens: int, wait: bool, arrives: bool) -> None:
        name = f"c{len(self.cycles)}"
        cycle = self.cycles[name] = Cycle(name, tokens, key=f"k{len(self.cycles)}")
        self.says(ask_to_open(cycle.key, name, f"run-{name}", {PHASE: tokens}, None, wait, self.now), arrives)

    @precondition(lambda self: self.spending())
    @rule(n=ANY, share=st.sampled_from([10, 50, 100]))
    def a_call_is_made(self, n: int, share: int) -> None:
        cycle = pick(self.spending(), n)
        assert cycle.envelope is not None
        ceiling = cycle.envelope.free(PHASE) * share // 100
        cycle.envelope, ticket = cycle.envelope.take(PHASE, ceiling, None, self.now)
        cycle.flying.append(ticket)

    @precondition(lambda self: self.calling())
    @rule(n=ANY, share=st.sampled_from([0, 30, 100]), arrives=st.booleans())
    def an_answer_comes(self, n: int, share: int, arrives: bool) -> None:
        cycle = pick(self.calling(), n)
        assert cycle.envelope is not None
        ticket = cycle.flying.pop(n % len(cycle.flying))
        used = ticket.tokens * share // 100
        self.bills(used, self.now)
        usage = CallUsage(model="m", input=used // 2, output=used - used // 2)
        cycle.envelope, record = cycle.envelope.settle(ticket, usage, None, self.now)
        self.conservative = self.conservative or len(record.days) > 1
        self.says(record, arrives)

    @precondition(lambda self: self.calling())
    @rule(n=ANY, arrives=st.booleans())
    def an_answer_is_lost(self, n: int, arrives: bool) -> None:
        cycle = pick(self.calling(), n)
        assert cycle.envelope is not None
        ticket = cycle.flying.pop(n % len(cycle.flying))
        self.unanswered.append(Unanswered(ticket.tokens, self.now + PROVIDER_MAY_GO_ON))
        cycle.envelope, record = cycle.envelope.charge(ticket, "m", self.now)
        self.says(record, arrives)
        self.conservative = True

    @precondition(lambda self: self.calling())
    @rule(n=ANY)
    def a_call_provably_cost_nothing(self, n: int) -> None:
        cycle = pick(self.calling(), n)
        assert cycle.envelope is not None
        cycle.envelope = cycle.envelope.put_back(cycle.flying.pop())

    @precondition(lambda self: self.spending())
    @rule(n=ANY, tokens=st.integers(0, 120), wait=st.booleans())
    def a_cycle_asks_for_more(self, n: int, tokens: int, wait: bool) -> None:
        cycle = pick(self.spending(), n)
        assert cycle.envelope is not None
        if cycle.topping is None:
            cycle.topping = f"{cycle.key}-more-{len(cycle.answers)}"
            self.network.append(cycle.envelope.ask_more(cycle.topping, tokens, None, wait, self.now))

    @precondition(lambda self: self.closable())
    @rule(n=ANY, arrives=st.booleans())
    def a_cycle_closes(self, n: int, arrives: bool) -> None:
        cycle = pick(self.closable(), n)
        cycle.closing = True
        calls = cycle.envelope.calls if cycle.envelope else 0
        run = f"run-{cycle.name}"
        self.says(Close(key=cycle.key, cycle_id=cycle.name, run_id=run, calls=calls, at=self.now), arrives)

    @precondition(lambda self: self.unfinished())
    @rule(n=ANY, words_lost=st.booleans())
    def a_cycle_vanishes(self, n: int, words_lost: bool) -> None:
        cycle = pick(self.unfinished(), n)
        cycle.alive = False
        self.conservative = True
        for ticket in cycle.flying:
            self.unanswered.append(Unanswered(ticket.tokens, self.now + PROVIDER_MAY_GO_ON))
        if words_lost:
            self.network = [message for message in self.network if message.cycle_id != cycle.name]

    # The world

    @precondition(lambda self: self.network)
    @rule(places=st.lists(ANY, min_size=1, max_size=4), again=st.booleans())
    def messages_arrive(self, places: list[int], again: bool) -> None:
        for n in places:
            if self.network:
                place = n % len(self.network)
                message = self.network[place]
                if not again:
                    del self.network[place]
                self.arrives(message)

    def says(self, message: Message, arrives: bool) -> None:
        """A message is under way; or it arrives at once, and once more later."""
        self.network.append(message)
        if arrives:
            self.arrives(message)

    def arrives(self, message: Message) -> None:
        match message:
            case Open():
                self.hear(self.ledger.open(message, self.now))
            case TopUp():
                self.hear(self.ledger.top_up(message, self.now))
            case Record():
                self.hear(self.ledger.record(message, self.now))
            case Close():
                self.hear(self.ledger.close(message, self.now))

    @precondition(lambda self: self.unanswered)
    @rule(n=ANY)
    def the_provider_bills_a_lost_call(self, n: int) -> None:
        call = self.unanswered.pop(n % len(self.unanswered))
        self.bills(call.tokens, self.now)

    @rule(seconds=st.sampled_from([1, 20, 59, 61, 300, 800]), billed=st.booleans(), tick=st.booleans())
    def time_passes(self, seconds: int, billed: bool, tick: bool) -> None:
        self.moves_to(self.now + timedelta(seconds=seconds), billed, tick)

    @rule(
        seconds=st.sampled_from([-800, -600, -90, -50, -5, 0, 5, 50, 70, 3_600]),
        days=st.sampled_from([0, 0, 0, 1, 40]),
        tick=st.booleans(),
    )
    def it_gets_near_midnight(self, seconds: int, days: int, tick: bool) -> None:
        # What comes for a day that is no longer kept counts on the oldest that is: more than the bill, never less.
        self.conservative = self.conservative or days > 20
        midnight = (self.now + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        self.moves_to(midnight + timedelta(days=days, seconds=seconds), billed=True, tick=tick)

    @rule()
    def the_ledger_crashes_and_is_restored(self) -> None:
        self.ledger = Ledger(LedgerState.model_validate_json(self.ledger.state.model_dump_json()))

    @precondition(lambda self: self.sweeping is None)
    @rule()
    def a_sweep_begins(self) -> None:
        self.sweeping = [run.run_id for run in self.ledger.begin_sweep()]

    @precondition(lambda self: self.sweeping is not None)
    @rule(works=st.booleans())
    def a_sweep_ends(self, works: bool) -> None:
        runs, self.sweeping = self.sweeping or [], None
        reports = [
            RunReport(run_id=run, fate=RunFate.RUNNING if self.runs(run) else RunFate.ENDED) for run in runs if works
        ]
        self.hear(self.ledger.end_sweep(reports, self.now))

    @rule(what=st.sampled_from(["pause", "resume", "resume", "limit", "slots"]), n=st.integers(0, 300))
    def a_person_acts(self, what: str, n: int) -> None:
        match what:
            case "pause":
                self.hear(self.ledger.pause("test", self.now))
            case "resume":
                self.hear(self.ledger.resume(self.now))
            case "limit":
                self.hear(self.ledger.set_limits(LimitsChange(tokens_per_day=n), self.now))
            case _:
                self.hear(self.ledger.set_limits(LimitsChange(max_active_cycles=1 + n % 4), self.now))

    # What must hold after every step

    @invariant()
    def never_under_the_bill(self) -> None:
        days = self.ledger.state.days if hasattr(self, "ledger") else {}
        for day, book in days.items():
            assert self.bill[day] <= book.total.tokens, f"{day}: billed {self.bill[day]}, in the books {book.total}"

    @invariant()
    def never_over_the_limit_nor_more_over_a_lowered_one(self) -> None:
        if not hasattr(self, "ledger"):
            return
        state = self.ledger.state
        for day in sorted(state.days):
            total = state.days[day].total.tokens
            allowed = max(state.days[day].limit_tokens, self.totals.get(day, self.held_before))
            assert total <= allowed, f"{day}: {total} in the books, {allowed} allowed"
            self.totals[day] = total
        assert state.paused is None or len(state.accounts) <= self.slots_before
        assert len(state.accounts) <= max(state.limits.max_active_cycles, self.slots_before)
        self.held_before = state.days[state.day].held.tokens if state.day in state.days else 0
        self.slots_before = len(state.accounts)

    @invariant()
    def envelopes_and_ledger_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for account in self.ledger.state.accounts.values():
            held = account.held[self.ledger.state.day]
            assert account.granted == account.settled + account.charged + held
            assert min(held.tokens, account.settled.tokens, account.charged.tokens) >= 0
            cycle = self.cycles[account.cycle_id]
            if cycle.envelope is not None:
                spendable = cycle.envelope.free(PHASE) + sum(ticket.tokens for ticket in cycle.flying)
                assert spendable <= held.tokens

    @invariant()
    def entries_sum_to_the_totals(self) -> None:
        days = self.ledger.state.days if hasattr(self, "ledger") else {}
        for day, book in days.items():
            view = self.ledger.views.entries(day)
            settled = sum(entry.total_tokens for entry in view.entries if entry.state == "settled")
            charged = sum(entry.total_tokens for entry in view.entries if entry.state != "settled")
            assert settled + view.folded_settled_tokens == book.settled.tokens
            assert charged + view.folded_charged_tokens == book.charged.tokens
            assert min(book.settled.tokens, book.charged.tokens, book.held.tokens) >= 0

    def teardown(self) -> None:
        """When everything has arrived nothing is held; where no answer and no cycle was lost, ledger and bill agree."""
        if not hasattr(self, "ledger"):
            return
        self.ledger.resume(self.now)
        for cycle in self.cycles.values():
            if cycle.alive and not cycle.closing:
                for ticket in cycle.flying:
                    assert cycle.envelope is not None
                    cycle.envelope = cycle.envelope.put_back(ticket)
                cycle.flying = []
        while self.network:
            self.messages_arrive([0], again=False)
        while self.closable():
            self.a_cycle_closes(0, arrives=False)
        while self.network:
            self.messages_arrive([0], again=False)
        for _ in range(len(self.cycles) // 40 + 2):
            self.sweeping = None
            self.a_sweep_begins()
            self.a_sweep_ends(works=True)
        assert self.ledger.state.accounts == {}
        assert self.ledger.state.waiting == []
        assert all(book.held.tokens == 0 for book in self.ledger.state.days.values())
        self.never_under_the_bill()
        if not self.conservative:
            assert {day: book.total.tokens for day, book in self.ledger.state.days.items() if book.total.tokens} == {
                day: tokens for day, tokens in self.bill.items() if tokens and day in self.ledger.state.days
            }

    # The model's own

    def unfinished(self) -> list[Cycle]:
        return [cycle for cycle in self.cycles.values() if cycle.alive and not cycle.closed and not cycle.refused]

    def closable(self) -> list[Cycle]:
        return [cycle for cycle in self.cycles.values() if cycle.alive and not cycle.closing and not cycle.flying]

    def spending(self) -> list[Cycle]:
        return [cycle for cycle in self.cycles.values() if cycle.alive and cycle.envelope and not cycle.closing]

    def calling(self) -> list[Cycle]:
        return [cycle for cycle in self.cycles.values() if cycle.alive and cycle.flying]

    def runs(self, run_id: str) -> bool:
        cycle = self.cycles[run_id.removeprefix("run-")]
        return cycle.alive and not cycle.closed and not (cycle.refused and cycle.envelope is None)

    def bills(self, tokens: int, at: datetime) -> None:
        self.bill[(at + self.skew).date()] += tokens

    def moves_to(self, later: datetime, billed: bool, tick: bool) -> None:
        for call in [call for call in self.unanswered if call.until < later]:
            self.unanswered.remove(call)
            if billed:
                self.bills(call.tokens, call.until)
        self.now = max(self.now, later)
        if tick:
            self.hear(self.ledger.tick(self.now, sweep=True))

    def hear(self, replies: list[Reply]) -> None:
        for reply in replies:
            cycle = self.cycles[reply.cycle_id]
            if isinstance(reply, Queued):
                continue
            if not cycle.alive:
                continue
            if isinstance(reply, Closed):
                assert cycle.closing, "nothing is closed unasked"
                cycle.closed = True
                continue
            before = cycle.answers.setdefault(reply.key, reply.kind)
            assert before == reply.kind, "the same key gets the same answer"
            if isinstance(reply, Refused):
                if reply.key == cycle.topping:
                    cycle.topping = None
                elif reply.key == cycle.key:
                    cycle.refused = True
            elif isinstance(reply, Granted):
                if reply.key == cycle.key and cycle.envelope is None and not cycle.closing:
                    cycle.envelope = Envelope.opened(reply, {PHASE: cycle.tokens})
                elif reply.key == cycle.topping and cycle.envelope is not None:
                    cycle.topping = None
                    cycle.envelope = cycle.envelope.topped_up(reply, PHASE)


def pick(some: list[Cycle], n: int) -> Cycle:
    return some[n % len(some)]


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
