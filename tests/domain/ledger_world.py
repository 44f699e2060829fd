"""The whole world: cycles and their network, the clock, sweeps, people, and the ledger's own restarts."""

import json
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from random import Random

import pytest
from pydantic import ValidationError

from domain.cycle import CallUsage
from domain.envelope import Envelope, EnvelopeExhausted
from domain.ledger import (
    Account,
    Granted,
    Ledger,
    LedgerState,
    Limits,
    LimitsChange,
    Open,
    Record,
    Refused,
    RunFate,
    RunReport,
    TopUp,
)

from .ledger_cycles import PHASES, TOKEN_LIMITS, USD_LIMITS, Cycle, CyclesAndNetwork, pick


class World(CyclesAndNetwork):
    """Every move that a schedule is made of. A move returns False where there is nothing to do for it."""

    # The clock

    def time_passes(self, chance: Random) -> bool:
        self.moves_by(timedelta(seconds=chance.choice((1, 20, 59, 61, 300, 800))), chance)
        return True

    def it_gets_near_midnight(self, chance: Random) -> bool:
        midnight = (self.now + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        seconds = chance.choice((-960, -930, -800, -600, -90, -50, -5, 0, 5, 50, 70, 3_600))
        days = chance.choice((0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 40))
        # What comes for a day that is no longer kept counts on the oldest that is: more than the bill, never less.
        self.seen.inexact = self.seen.inexact or days > 0
        self.moves_by(midnight + timedelta(days=days, seconds=seconds) - self.now, chance)
        return True

    def moves_by(self, time: timedelta, chance: Random) -> None:
        self.now += max(time, timedelta(0))
        self.biller.time_is(self.now)
        if chance.random() < 0.5:
            wanted = self.ledger.state.sweep_wanted
            sweep = chance.random() < 0.5
            self.act(lambda: self.ledger.tick(self.now, sweep=sweep), chance)
            assert self.ledger.state.sweep_wanted or not (wanted or sweep), "a sweep was asked for"

    # Sweeps

    def a_sweep_goes_on(self, chance: Random) -> bool:
        if self.sweep is None:
            self.sweep = [run.run_id for run in self.ledger.begin_sweep()]
            self.over = None
            self.seen.sweep_begins(self.sweep)
        elif self.over is None and chance.random() < 0.4:
            self.over = {run for run in self.sweep if self.cycles[run].is_over}  # The answer comes late.
        else:
            self.a_sweep_ends(chance, works=chance.random() < 0.8)
        return True

    def a_sweep_ends(self, chance: Random, works: bool) -> None:
        runs, self.sweep = self.sweep or [], None
        over = self.over if self.over is not None else {run for run in runs if self.cycles[run].is_over}
        reports, ended = [], dict[str, tuple[Record, ...] | None]()
        for run in runs if works else ():
            if run in over:
                calls = self.as_its_history_tells(self.cycles[run], ended, chance)
                reports.append(RunReport(run_id=run, fate=RunFate.ENDED, calls=calls))
            else:
                reports.append(RunReport(run_id=run, fate=chance.choice((RunFate.RUNNING, RunFate.UNKNOWN))))
        self.seen.runs_ended(ended, self.now, self.ledger.state.day)
        self.seen.ending_sweep = True
        replies = self.act(lambda: self.ledger.end_sweep(reports, self.now), chance)
        self.refused = [reply for reply in replies if isinstance(reply, Refused)]
        self.seen.ending_sweep = False
        late = [key for key, begun in self.seen.waiting.items() if begun < self.seen.sweeps]
        assert all(self.seen.asks[key].wait for key in late), "a sweep has ended, and who won't wait has no answer"

    def as_its_history_tells(
        self, cycle: Cycle, ended: dict[str, tuple[Record, ...] | None], chance: Random
    ) -> tuple[Record, ...] | None:
        """The calls, or nothing, or, from a reader that is broken, calls that can't be these."""
        calls = cycle.history() if cycle.history_is_readable else None
        likely = 0.9 if calls and self.lacks_what_its_close_named(cycle, calls) else 0.5
        told = self.misread(cycle, calls, chance) if calls and chance.random() < likely else calls
        ended[cycle.run_id] = calls if told == calls else None
        self.seen.inexact = self.seen.inexact or told is None or told != calls
        return told

    def misread(self, cycle: Cycle, calls: tuple[Record, ...], chance: Random) -> tuple[Record, ...]:
        """Calls that don't fit what the ledger knows."""
        known = {record.seq for record in self.seen.booked_of(cycle.run_id)}
        wrong: list[tuple[Record, ...]] = []
        if len(calls) > 1:
            wrong.append(calls[1:])
        if self.lacks_what_its_close_named(cycle, calls) or (calls[-1].seq in known and not calls[-1].tokens):
            return calls[:-1]
        if calls[-1].seq in known:
            wrong.append(calls[:-1])
        wrong.append((*calls[:-1], calls[-1].model_copy(update={"run_id": "run-of-another"})))
        wrong.append((*calls[:-1], calls[-1].model_copy(update={"envelope_key": "another"})))
        if any(call.tokens for call in calls if call.seq in known):
            nothing = {"ceiling_tokens": 0, "usage": calls[0].usage.model_copy(update={"input": 0, "output": 0})}
            wrong.append(tuple(call.model_copy(update=nothing) for call in calls))
        return chance.choice(wrong)

    def lacks_what_its_close_named(self, cycle: Cycle, calls: tuple[Record, ...]) -> bool:
        """Whether the ledger knows of the last call only because the run's close counted it."""
        last_is_known = any(record.seq == calls[-1].seq for record in self.seen.booked_of(cycle.run_id))
        return self.seen.closes.get(cycle.run_id) == len(calls) and not last_is_known

    # People and settings

    def a_person_pauses_or_resumes(self, chance: Random) -> bool:
        if not self.seen.paused and chance.random() < 0.8:
            return False
        self.pauses_or_resumes(chance)
        return True

    def pauses_or_resumes(self, chance: Random) -> None:
        self.seen.paused = not self.seen.paused
        if self.seen.paused:
            self.act(lambda: self.ledger.pause(chance.choice(("", "test")), self.now), chance, serves=False)
        else:
            self.act(lambda: self.ledger.resume(self.now), chance)

    def a_person_sets_limits(self, chance: Random) -> bool:
        if not self.limits_move:
            return False
        change = self.some_change(chance)
        self.expects(change)
        self.act(lambda: self.ledger.set_limits(change, self.now), chance)
        return True

    def somebody_boots_with_settings(self, chance: Random) -> bool:
        if not self.limits_move:
            return False
        change = self.some_change(chance)
        said, news = self.seen.said, dict[str, object]()
        if change.tokens_per_day is not None and change.tokens_per_day != said["tokens"]:
            news["tokens_per_day"] = said["tokens"] = change.tokens_per_day
        if change.max_active_cycles is not None and change.max_active_cycles != said["slots"]:
            news["max_active_cycles"] = said["slots"] = change.max_active_cycles
        if change.lift_usd_limit and said["usd"] is not None:
            said["usd"], news["lift_usd_limit"] = None, True
        elif change.usd_per_day is not None and not change.lift_usd_limit and change.usd_per_day != said["usd"]:
            news["usd_per_day"] = said["usd"] = change.usd_per_day
        self.expects(LimitsChange.model_validate(news))
        self.act(lambda: self.ledger.configure(change, self.now), chance)
        return True

    def some_change(self, chance: Random) -> LimitsChange:
        usd = chance.choice(USD_LIMITS)
        return LimitsChange(
            tokens_per_day=chance.choice((None, None, *TOKEN_LIMITS)),
            usd_per_day=usd,
            lift_usd_limit=chance.random() < 0.2,
            max_active_cycles=chance.choice((None, 1, 2, 4)),
        )

    def expects(self, change: LimitsChange) -> None:
        limits = self.seen.limits
        usd = limits.usd_per_day if change.usd_per_day is None else change.usd_per_day
        tokens = limits.tokens_per_day if change.tokens_per_day is None else change.tokens_per_day
        slots = limits.max_active_cycles if change.max_active_cycles is None else change.max_active_cycles
        usd = None if change.lift_usd_limit else usd
        self.seen.limits_are(Limits(tokens_per_day=tokens, usd_per_day=usd, max_active_cycles=slots))

    # The ledger's own life

    def the_ledger_continues_as_new(self, _: Random) -> bool:
        written = self.ledger.state.model_dump_json()
        self.ledger, self.ledger_heard = Ledger(LedgerState.model_validate_json(written), self.seen.bounds), True
        assert self.ledger.state.model_dump_json() == written
        return True

    def a_damaged_state_is_not_read(self, chance: Random) -> bool:
        written = json.loads(self.ledger.state.model_dump_json())
        if not written["days"]:
            return False
        book = written["days"][chance.choice(list(written["days"]))]
        if chance.random() < 0.2:
            book["forgotten"] = 0
        else:
            sums = book[chance.choice(("settled", "charged", "held"))]
            part = chance.choice(("tokens", "usd", "unpriced"))
            sums[part] = str(Decimal(sums[part]) + 1) if part == "usd" else sums[part] + 1
        with pytest.raises(ValidationError):
            LedgerState.model_validate_json(json.dumps(written))
        return True

    def the_ledger_is_ended_and_restarted(self, chance: Random) -> bool:
        """By a person, who ends first those holders whose histories can't be read. What the ended ledger had said, and
        nobody has heard, is lost; what is said to it from then on waits for the new one.
        """
        if self.limits_move or self.seen.forgetful:
            return False
        self.sweep, self.over, self.asked, self.refused, self.replies = None, None, None, [], []
        for cycle in [cycle for cycle in self.holding() if not cycle.history_is_readable]:
            self.ends(cycle, chance)
        self.now += timedelta(seconds=chance.choice((0, 1, 300, 20_000)))
        self.biller.time_is(self.now)
        holders, bounds = self.holding(), self.seen.bounds
        heard = {cycle.run_id: cycle.heard for cycle in holders}
        accounts = [Account.taken_over(cycle.heard, cycle.records, self.now, bounds) for cycle in holders]
        state = LedgerState.new(self.seen.limits, self.now, spent=True, adopted=accounts)
        self.ledger, self.ledger_heard = Ledger(state, bounds), True
        known = min(self.now.date() - timedelta(days=1), state.day)
        days = [known + timedelta(days=n) for n in range((state.day - known).days + 1)]
        assert self.now + timedelta(minutes=15) < datetime.combine(days[-1] + timedelta(days=1), time(), UTC)
        self.seen.starts_anew(heard, [record for cycle in holders for record in cycle.records], days)
        self.delivered = [
            message
            for message in self.delivered
            if (message.run_id in heard if isinstance(message, Record) else isinstance(message, Open | TopUp))
            and not self.cycles[message.run_id].is_over
        ]
        for cycle in self.living():
            if cycle.closing:
                self.network.append(self.close_of(cycle))
        return True

    def holding(self) -> list[Cycle]:
        return [cycle for cycle in self.living() if cycle.envelope]

    # What an envelope must not let happen

    def an_envelope_is_overdrawn(self, chance: Random) -> bool:
        if (cycle := pick(self.spending(), chance)) is None:
            return False
        envelope, phase = cycle.envelope, chance.choice(PHASES)
        assert envelope is not None
        free = envelope.free(phase)
        price = cycle.price
        granted = self.seen.finals[cycle.run_id, cycle.key]
        assert isinstance(granted, Granted)
        with pytest.raises(ValueError, match="caps sum to"):
            Envelope.opened(granted, {**cycle.caps, "more": 1})
        with pytest.raises(EnvelopeExhausted):
            envelope.take("a phase without a share", 1, price, self.cycles_now)
        with pytest.raises(EnvelopeExhausted):
            envelope.take(phase, free + 1, price and price * (free + 1), self.cycles_now)
        if price is not None:
            with pytest.raises(EnvelopeExhausted):
                envelope.take(phase, free, None, self.cycles_now)
            with pytest.raises(EnvelopeExhausted):
                envelope.take(phase, free, (envelope.free_usd or Decimal(0)) + 1, self.cycles_now)
        return True

    def a_call_ends_twice(self, chance: Random) -> bool:
        if (cycle := pick(self.calling(), chance)) is None:
            return False
        assert cycle.envelope is not None
        ticket = cycle.flying[0]
        charged, put_back = cycle.envelope.charge(ticket, "m", self.now)[0], cycle.envelope.put_back(ticket)
        for after in (charged, put_back):
            with pytest.raises(ValueError, match="not in flight"):
                after.put_back(ticket)
            with pytest.raises(ValueError, match="not in flight"):
                after.settle(ticket, CallUsage(model="m"), None, self.now)
        with pytest.raises(ValueError, match="in flight"):
            cycle.envelope.close(self.now)
        return True
