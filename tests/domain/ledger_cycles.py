"""Half of the world in which the ledger must keep its promise: cycles that open, call, ask for more, close, vanish and
are reset, and a network that delays, reorders, repeats and loses. The other half stands in ledger_world.

Every move is one step, and draws what is open in it from a random.Random. What happened is noted in `seen`
(ledger_accounts); what must hold after each step stands in ledger_promises.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from domain.cycle import CallUsage
from domain.envelope import Envelope, Ticket, ask_to_open
from domain.ledger import (
    Bounds,
    Close,
    Closed,
    Granted,
    Ledger,
    LedgerState,
    Limits,
    Open,
    Queued,
    Record,
    Refused,
    Reply,
    TopUp,
)

from .ledger_accounts import Seen
from .ledger_biller import Biller, Request

EVENING = datetime(2026, 11, 23, 23, 40, tzinfo=UTC)
PHASES = ("design", "assess")
PRICES = (None, Decimal("0.001"), Decimal("0.01"), Decimal("0.5"))
TOKEN_LIMITS = (0, 100, 150, 400)
USD_LIMITS = (None, None, Decimal("0.4"), Decimal(3), Decimal(60))
FEW = Bounds(waiting=2, undecided=2, swept=2, refused=64, answers=2, ended=64, entries=6, days=4)
FORGETFUL = FEW.model_copy(update={"refused": 2, "ended": 2})
FAR = timedelta(days=400)

Message = Open | TopUp | Record | Close


@dataclass
class Cycle:
    """One run of a cycle."""

    cycle_id: str
    run_id: str
    key: str
    price: Decimal | None
    caps: dict[str, int]
    history_is_readable: bool
    alive: bool = True
    envelope: Envelope | None = None
    refused: bool = False
    closing: bool = False
    closed: bool = False
    flying: list[Ticket] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    heard: list[Granted] = field(default_factory=list)
    asked_more: int = 0
    topping: tuple[str, str] | None = None
    ended_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether the server would say that the run has ended."""
        return not self.alive or self.closed or self.refused

    def usd(self, tokens: int) -> Decimal | None:
        return None if self.price is None else self.price * tokens

    def history(self) -> tuple[Record, ...]:
        """Every call that the run made; those in flight at its end as lost."""
        envelope, calls = self.envelope, list(self.records)
        for ticket in self.flying:
            assert envelope is not None
            assert self.ended_at is not None
            envelope, record = envelope.charge(ticket, "m", self.ended_at)
            calls.append(record)
        return tuple(calls)


class CyclesAndNetwork:
    """The ledger under test, the cycles, the provider, and what is under way between them."""

    def __init__(self, chance: Random) -> None:
        self.now = EVENING + timedelta(seconds=chance.choice((0, 0, 900, 1_130)))
        off = chance.choice((-59, 0, 59))
        self.biller = Biller(timedelta(seconds=off))
        # The clocks of cycles may be ahead of the ledger's, and none is a minute from the provider's.
        self.ahead = timedelta(seconds=chance.choice((0, 0, min(59, 59 + off))))
        self.tokens_matter = chance.random() < 0.7
        limits = Limits(
            tokens_per_day=chance.choice(TOKEN_LIMITS[1:]) if self.tokens_matter else 10_000,
            usd_per_day=chance.choice(USD_LIMITS),
            max_active_cycles=chance.choice((1, 2, 4, 5)),
        )
        self.limits_move = chance.random() < 0.6
        # A ledger that forgets soon hears nothing twice here: what it has forgotten it can't know again.
        forgetful = chance.random() < 0.15
        bounds = FORGETFUL if forgetful else FEW
        self.ledger = Ledger(LedgerState.new(limits, self.now), bounds)
        self.cycles: dict[str, Cycle] = {}
        self.network: list[Message] = []
        self.delivered: list[Message] = []
        self.replies: list[Reply] = []
        self.sweep: list[str] | None = None
        self.ledger_heard = False
        self.slow = False
        self.asked: Open | TopUp | None = None
        self.refused: list[Reply] = []
        self.over: set[str] | None = None
        self.seen = Seen(limits, bounds, forgetful, ceilings_hold=chance.random() < 0.93)

    @property
    def cycles_now(self) -> datetime:
        return self.now + self.ahead

    # Cycles

    def a_cycle_opens(self, chance: Random) -> bool:
        if len(self.living()) >= 6:
            return False
        name = f"c{len(self.cycles)}"
        total = chance.choice((0, 30, 30, 30, 60, 60, 90, 120, 170))
        split = chance.choice((0, total // 3, total))
        cycle = Cycle(
            cycle_id=name,
            run_id=f"run-{name}",
            key=f"key-{name}",
            price=chance.choice(PRICES),
            caps={"design": total - split, "assess": split},
            history_is_readable=chance.random() < 0.6,
        )
        self.cycles[cycle.run_id] = cycle
        wait = chance.random() < 0.5
        message = ask_to_open(cycle.key, name, cycle.run_id, cycle.caps, cycle.usd(total), wait, self.cycles_now)
        self.says(message, chance)
        return True

    def a_call_is_made(self, chance: Random) -> bool:
        if (cycle := pick(self.spending(), chance)) is None:
            return False
        assert cycle.envelope is not None
        phase = chance.choice(PHASES)
        ceiling = cycle.envelope.free(phase) * chance.choice((30, 50, 100, 100)) // 100
        free_usd, usd = cycle.envelope.free_usd, cycle.usd(ceiling)
        if not self.seen.ceilings_hold and free_usd is not None and usd is not None and usd > free_usd:
            return False  # Another phase has used too many dollars.
        cycle.envelope, ticket = cycle.envelope.take(phase, ceiling, cycle.usd(ceiling), self.cycles_now)
        cycle.flying.append(ticket)
        cycle.left[phase] -= ceiling
        used = ticket.tokens * chance.choice((0, 30, 100, 100)) // 100
        work = timedelta(seconds=chance.choice((1, 60, 500, 1_200, 5_000)))
        model = "unpriced" if cycle.price is None else "priced"
        usd = (cycle.price or Decimal(7)) * used
        self.biller.asked(f"{cycle.run_id} {ticket.number}", Request(model, used, usd, self.now + work))
        self.seen.used[cycle.run_id, ticket.number] = used
        return True

    def an_answer_comes(self, chance: Random) -> bool:
        if (cycle := pick(self.calling(), chance)) is None:
            return False
        assert cycle.envelope is not None
        ticket = cycle.flying.pop(chance.randrange(len(cycle.flying)))
        used = self.seen.used[cycle.run_id, ticket.number]
        request = self.biller.working.get(f"{cycle.run_id} {ticket.number}")
        if request and chance.random() < (0.05 if self.seen.ceilings_hold else 0.5):
            # Its ceiling was too low; where the ceilings of a world hold, the envelope still has what is lacking.
            used = ticket.tokens + (min(3, cycle.left[ticket.phase]) if self.seen.ceilings_hold else 40)
            request.tokens, request.usd = used, (cycle.price or Decimal(7)) * used
        self.biller.answers(f"{cycle.run_id} {ticket.number}", self.now)
        usage = CallUsage(model="m", input=used // 2, output=used - used // 2)
        cycle.envelope, record = cycle.envelope.settle(ticket, usage, cycle.usd(used), self.cycles_now)
        cycle.left[ticket.phase] += ticket.tokens - used
        cycle.records.append(record)
        self.seen.inexact = self.seen.inexact or len(record.days) > 1
        self.says(record, chance)
        return True

    def an_answer_is_lost(self, chance: Random) -> bool:
        if (cycle := pick(self.calling(), chance)) is None:
            return False
        assert cycle.envelope is not None
        ticket = cycle.flying.pop(chance.randrange(len(cycle.flying)))
        self.biller.left_alone(f"{cycle.run_id} {ticket.number}", self.now)
        cycle.envelope, record = cycle.envelope.charge(ticket, "m", self.cycles_now)
        if chance.random() < 0.04:
            record = record.model_copy(update={"days": (*record.days, record.days[-1] + FAR)})  # by a clock gone mad
        cycle.records.append(record)
        self.seen.inexact = True
        self.says(record, chance)
        return True

    def a_call_provably_cost_nothing(self, chance: Random) -> bool:
        if (cycle := pick(self.calling(), chance)) is None:
            return False
        assert cycle.envelope is not None
        ticket = cycle.flying[chance.randrange(len(cycle.flying))]
        if self.biller.working.pop(f"{cycle.run_id} {ticket.number}", None) is None:
            return False  # It was billed: nothing proves that it cost nothing.
        self.gives_back(cycle, ticket)
        return True

    def gives_back(self, cycle: Cycle, ticket: Ticket) -> None:
        assert cycle.envelope is not None
        cycle.flying.remove(ticket)
        cycle.envelope = cycle.envelope.put_back(ticket)
        cycle.left[ticket.phase] += ticket.tokens

    def a_cycle_asks_for_more(self, chance: Random) -> bool:
        if (cycle := pick([cycle for cycle in self.spending() if cycle.topping is None], chance)) is None:
            return False
        assert cycle.envelope is not None
        cycle.asked_more += 1
        cycle.topping = (f"{cycle.key}-more-{cycle.asked_more}", chance.choice((*PHASES, "repair")))
        tokens, wait = chance.choice((0, 10, 30, 60, 120, 120, 500)), chance.random() < 0.85
        self.says(cycle.envelope.ask_more(cycle.topping[0], tokens, cycle.usd(tokens), wait, self.cycles_now), chance)
        return True

    def a_cycle_closes(self, chance: Random) -> bool:
        if (cycle := pick(self.closable(), chance)) is None:
            return False
        self.closes(cycle, chance)
        return True

    def closes(self, cycle: Cycle, chance: Random) -> None:
        cycle.closing = True
        self.says(self.close_of(cycle), chance)

    def close_of(self, cycle: Cycle) -> Close:
        if cycle.envelope is not None:
            return cycle.envelope.close(self.cycles_now)
        return Close(key=cycle.key, cycle_id=cycle.cycle_id, run_id=cycle.run_id, at=self.cycles_now)

    def a_run_ends_without_a_word(self, chance: Random) -> bool:
        if (cycle := pick(self.living(), chance)) is None:
            return False
        self.ends(cycle, chance)
        return True

    def ends(self, cycle: Cycle, chance: Random) -> None:
        cycle.alive, cycle.ended_at = False, self.cycles_now
        self.seen.inexact = self.seen.inexact or bool(cycle.flying) or not cycle.history_is_readable
        for ticket in cycle.flying:
            self.biller.left_alone(f"{cycle.run_id} {ticket.number}", self.now)
        if chance.random() < 0.3:
            self.network = [message for message in self.network if message.run_id != cycle.run_id]
        if chance.random() < 0.3:
            self.a_run_believes_that_an_envelope_is_its_own(cycle, chance)

    def a_run_believes_that_an_envelope_is_its_own(self, cycle: Cycle, chance: Random) -> None:
        """A cycle was reset, or speaks of what an earlier ledger granted."""
        heir = Cycle(cycle.cycle_id, f"{cycle.run_id}r", cycle.key, cycle.price, cycle.caps, history_is_readable=True)
        heir.closing = True
        self.cycles[heir.run_id] = heir
        if cycle.envelope and chance.random() < 0.5:
            more = cycle.envelope.ask_more(f"{heir.key}-heir", 10, cycle.usd(10), True, self.cycles_now)
            self.says(more.model_copy(update={"run_id": heir.run_id}), chance)
        if cycle.records and chance.random() < 0.5:
            record = cycle.records[0].model_copy(update={"run_id": heir.run_id})
            # It counts, wherever it comes from, and for it nothing is held.
            self.seen.inexact = True
            self.seen.crowded.update(record.days, (self.now.date() + timedelta(days=n) for n in (0, 1)))
            self.says(record, chance)
        self.says(
            Close(
                key=heir.key, cycle_id=heir.cycle_id, run_id=heir.run_id, calls=len(cycle.records), at=self.cycles_now
            ),
            chance,
        )

    # The network

    def says(self, message: Message, chance: Random) -> None:
        """A message is under way, or arrives at once. Some are dated by a clock gone mad."""
        if chance.random() < 0.04:
            message = message.model_copy(update={"at": message.at + FAR})
        if not self.slow and chance.random() < 0.45:
            self.arrives(message, chance)
        else:
            self.network.append(message)

    def a_message_arrives(self, chance: Random) -> bool:
        if not self.network:
            return False
        self.arrives(self.network.pop(chance.randrange(len(self.network))), chance)
        return True

    def a_message_arrives_again(self, chance: Random) -> bool:
        if not self.delivered or self.seen.forgetful:
            return False
        message = chance.choice(self.delivered[-12:])
        if isinstance(message, TopUp) and self.cycles[message.run_id].asked_more >= self.seen.bounds.answers:
            return False  # Its answer may be forgotten.
        days = message.days if isinstance(message, Record) else (message.at.date(),)
        if max(days) > self.ledger.state.day:
            return False  # Again it would lead the books a day on.
        self.act(lambda: self.ledger.tick(self.now), chance)
        before, decided = self.seen.what_counts(self.ledger), self.seen.is_decided(message)
        self.arrives(message, chance, again=True)
        if decided:
            assert self.seen.what_counts(self.ledger) == before, (
                f"a repeated {type(message).__name__} changed something"
            )
        return True

    def arrives(self, message: Message, chance: Random, again: bool = False) -> None:
        if not again:
            self.delivered.append(message)
        self.seen.delivered(message, self.now, self.ledger.state.day)
        replies = self.act(lambda: self.hand_over(message), chance, serves=isinstance(message, Record | Close))
        if isinstance(message, Open | TopUp):
            self.seen.answered(message, replies)
            self.asked = message
        # The day in the books is the later of the clock's and the message's, but not beyond the clock's tomorrow.
        said = max(message.days) if isinstance(message, Record) else message.at.date()
        assert self.ledger.state.day >= min(said, (self.now + timedelta(days=1)).date())

    def hand_over(self, message: Message) -> list[Reply]:
        match message:
            case Open():
                return self.ledger.open(message, self.now)
            case TopUp():
                return self.ledger.top_up(message, self.now)
            case Record():
                return self.ledger.record(message, self.now)
            case Close():
                return self.ledger.close(message, self.now)

    def act(self, what: Callable[[], list[Reply]], chance: Random, serves: bool = True) -> list[Reply]:
        """Something reaches the ledger, and it answers; an answer is heard at once or later."""
        replies, self.ledger_heard = what(), True
        assert self.now.date() <= self.ledger.state.day <= self.now.date() + timedelta(days=1)
        self.seen.told(replies)
        self.seen.served = serves
        for reply in replies:
            if chance.random() < 0.8:
                self.is_heard(reply)
            else:
                self.replies.append(reply)
        return replies

    def an_answer_of_the_ledger_arrives(self, chance: Random) -> bool:
        if not self.replies:
            return False
        self.is_heard(self.replies.pop(chance.randrange(len(self.replies))))
        return True

    def is_heard(self, reply: Reply) -> None:
        cycle = self.cycles[reply.run_id]
        if isinstance(reply, Granted) and reply not in cycle.heard:
            cycle.heard.append(reply)
        if cycle.is_over:
            self.seen.reply_failed(reply.run_id)
            self.ledger.reply_failed(reply.run_id)
            assert self.ledger.state.sweep_wanted, "nobody looks at why a reply was not heard"
        elif isinstance(reply, Closed):
            cycle.closed = True
        elif isinstance(reply, Refused):
            if cycle.topping and reply.key == cycle.topping[0]:
                cycle.topping = None
            elif reply.key == cycle.key:
                cycle.refused = not cycle.closing
        elif isinstance(reply, Granted) and not cycle.closing:
            if reply.key == cycle.key and cycle.envelope is None:
                cycle.envelope = Envelope.opened(reply, cycle.caps)
                cycle.left = dict(cycle.caps)
            elif cycle.topping and reply.key == cycle.topping[0] and cycle.envelope is not None:
                phase, cycle.topping = cycle.topping[1], None
                cycle.envelope = cycle.envelope.topped_up(reply, phase)
                cycle.left[phase] = cycle.left.get(phase, 0) + reply.tokens
        else:
            assert isinstance(reply, Queued | Granted)

    # Who is where

    def living(self) -> list[Cycle]:
        return [cycle for cycle in self.cycles.values() if not cycle.is_over]

    def closable(self) -> list[Cycle]:
        return [cycle for cycle in self.living() if not cycle.closing and not cycle.flying]

    def spending(self) -> list[Cycle]:
        return [cycle for cycle in self.living() if cycle.envelope and not cycle.closing]

    def calling(self) -> list[Cycle]:
        return [cycle for cycle in self.living() if cycle.flying]


def pick(some: list[Cycle], chance: Random) -> Cycle | None:
    return chance.choice(some) if some else None
