"""Runs schedules by their seeds: `python -m tests.domain.ledger_schedules FIRST END`, the END not included.

A schedule is fixed by its seed. The first that breaks a promise is named, with the command that runs it again.
"""

import gc
import sys
from collections.abc import Callable
from datetime import timedelta
from random import Random

from domain.ledger import Close

from .ledger_promises import Promises
from .ledger_world import World

STEPS = 50
PATIENCE = 60
"""Rounds of closing and sweeping after which everybody must have come to an end."""

WEIGHTS: dict[Callable[[World, Random], bool], float] = {
    World.a_cycle_opens: 3,
    World.a_call_is_made: 10,
    World.an_answer_comes: 6,
    World.an_answer_is_lost: 2,
    World.a_call_provably_cost_nothing: 0.4,
    World.a_cycle_asks_for_more: 2.5,
    World.a_cycle_closes: 1.2,
    World.a_run_ends_without_a_word: 1.2,
    World.a_message_arrives: 5,
    World.a_message_arrives_again: 1.5,
    World.an_answer_of_the_ledger_arrives: 2,
    World.time_passes: 2,
    World.it_gets_near_midnight: 1.2,
    World.a_sweep_goes_on: 2,
    World.a_person_pauses_or_resumes: 0.8,
    World.a_person_sets_limits: 0.8,
    World.somebody_boots_with_settings: 0.4,
    World.the_ledger_continues_as_new: 0.5,
    World.the_ledger_is_ended_and_restarted: 0.35,
    World.a_damaged_state_is_not_read: 0.1,
    World.an_envelope_is_overdrawn: 0.3,
    World.a_call_ends_twice: 0.2,
}
MOVES, ODDS = list(WEIGHTS), list(WEIGHTS.values())

EVENING_MOVES: tuple[Callable[[World, Random], bool], ...] = (
    World.a_call_is_made,
    World.a_call_is_made,
    World.it_gets_near_midnight,
    World.an_answer_comes,
)
NIGHT_MOVES: tuple[Callable[[World, Random], bool], ...] = (
    World.a_person_sets_limits,
    *(World.a_cycle_asks_for_more,) * 3,
    *(World.a_message_arrives,) * 3,
    World.a_cycle_opens,
    World.a_cycle_closes,
    World.a_message_arrives,
    World.a_run_ends_without_a_word,
)


def run(seed: int) -> World:
    """One schedule of STEPS steps and its end. Raises AssertionError at the first broken promise."""
    chance = Random(seed)
    world = World(chance)
    promises = Promises(world)
    for number in range(STEPS):
        world.seen.served = False
        while not chance.choices(MOVES, ODDS)[0](world, chance):
            pass
        promises.hold()
        if number % 16 == 0:
            promises.the_views_tell_it()
    finish(world, promises, chance)
    return world


def finish(world: World, promises: Promises, chance: Random) -> None:
    """A last night, in some schedules, in which much is under way; then everything arrives, and all come to an end."""
    if world.seen.paused:
        world.pauses_or_resumes(chance)
    if chance.random() < 0.4:
        last_night(world, promises, chance)
    for cycle in world.living():
        for ticket in list(cycle.flying):
            name = f"{cycle.run_id} {ticket.number}"
            if name in world.biller.working:
                del world.biller.working[name]
                world.gives_back(cycle, ticket)
    while world.calling():
        world.an_answer_comes(chance)
    for _ in range(PATIENCE):
        if all(cycle.is_over for cycle in world.cycles.values()) and not world.seen.open and not world.seen.waiting:
            break
        while world.a_message_arrives(chance) or world.an_answer_of_the_ledger_arrives(chance):
            promises.hold()
        if not world.a_cycle_closes(chance):
            look_for_the_ended(world, chance)
        promises.hold()
    world.moves_by(timedelta(minutes=16), chance)
    promises.hold()
    promises.the_views_tell_it()
    world.the_ledger_continues_as_new(chance)
    promises.keep_when_all_has_arrived()


def last_night(world: World, promises: Promises, chance: Random) -> None:
    """Calls over a midnight, more money after it, and runs that end with words still under way."""
    world.slow = True
    for step in EVENING_MOVES:
        world.seen.served = False
        step(world, chance)
        promises.hold()
    world.slow = False
    for cycle in world.closable():
        late = any(message in world.network for message in cycle.records)
        if late and chance.random() < 0.7:
            # Its close arrives before its records do, and then nothing more is heard of it.
            world.closes(cycle, chance)
            if isinstance(world.network[-1], Close):
                world.arrives(world.network.pop(), chance)
            world.ends(cycle, chance)
    promises.hold()
    if paused := chance.random() < 0.5:
        world.pauses_or_resumes(chance)
    for step in NIGHT_MOVES:
        world.seen.served = False
        step(world, chance)
        promises.hold()
    if paused:
        world.pauses_or_resumes(chance)
        promises.hold()
    for _ in range(2):
        look_for_the_ended(world, chance)
        promises.hold()


def look_for_the_ended(world: World, chance: Random) -> None:
    if world.sweep is None:
        world.a_sweep_goes_on(chance)
    world.a_sweep_ends(chance, works=True)


def again(seed: int) -> str:
    """How to run one schedule again."""
    return f"python -m tests.domain.ledger_schedules {seed} {seed + 1}"


def collect_seldom() -> None:
    """Schedules leave little garbage in cycles, and looking for it takes a fifth of their time."""
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


def main(first: int, end: int) -> None:
    collect_seldom()
    for seed in range(first, end):
        try:
            run(seed)
        except BaseException:  # pytest's own failures are no Exceptions
            sys.stderr.write(f"the schedule of seed {seed} breaks a promise; once more: {again(seed)}\n")
            raise
    sys.stdout.write(f"{end - first} schedules of {STEPS} steps kept every promise\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
