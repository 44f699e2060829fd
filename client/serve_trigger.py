"""POST /agent/trigger: a body becomes a cycle, and with an Idempotency-Key the same one however often it is sent."""

import contextlib
import hashlib
import logging
import re

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from client.asked import choose_designer, choose_model, request_from
from client.cycles import fetch, start_cycle
from client.exits import CommandError, ExitCode
from client.limits import tell_limits
from client.looks import LazyRecords
from client.render_values import clean
from client.serve_bodies import ActiveExists, Exhausted, Trigger, Triggered, TriggeredData
from client.serve_errors import in_fields
from client.strategy_files import StrategyText, kept_strategy, parse_strategy
from client.visibility import describe
from domain.cycle import Admission, AdmissionState, CycleRequest, OnBudgetExhausted
from domain.ledger import Refusal
from settings import Settings

BODY_IN_MEMO = "body_sha256"
"""Where the description of a cycle that was started with a key tells of which body it is."""

EXPLAINED = (Refusal.BUDGET_EXHAUSTED, Refusal.BUDGET_PAUSED, Refusal.QUEUE_FULL)

Answer = Triggered | Exhausted | ActiveExists

log = logging.getLogger("serve")


def asked(settings: Settings, body: Trigger) -> CycleRequest:
    """The request that a body makes, checked as the command checks it. Reads files, so not for the event loop.

    Raises CommandError of exit code 2 in words that name the body's fields.
    """
    thresholds = settings.thresholds
    if body.thresholds is not None:
        thresholds = thresholds.model_copy(update=body.thresholds.model_dump(exclude_unset=True))
    try:
        designer = choose_designer(body.designer, key_is_set=settings.claude_key is not None)
        return request_from(
            settings,
            brief=body.brief,
            symbol=body.symbol,
            timeframe=body.timeframe,
            designer=designer,
            model=choose_model(body.model, designer, _note),
            strategy=_strategy(settings, body.strategy) if body.strategy else None,
            seed=body.seed,
            queue=body.queue,
            on_budget_exhausted=OnBudgetExhausted(body.on_budget_exhausted),
            memory=body.memory,
            thresholds=thresholds,
            tell=_note,
        )
    except CommandError as error:
        raise in_fields(error) from error


def _strategy(settings: Settings, named: str) -> StrategyText:
    """By its name in the strategies' folder, or what the text says. What is no name is never looked for on the disk."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", named):
        return parse_strategy(
            named.encode(), "strategy", "correct it; `research strategy validate FILE` checks it in a file"
        )
    kept = kept_strategy(settings, named)
    return parse_strategy(kept.text.encode(), kept.reference.path, f"`research strategy show {named}` shows the file")


def _note(text: str) -> None:
    log.info("%s", clean(text))


async def trigger(client: Client, settings: Settings, request: CycleRequest, body: Trigger, key: str | None) -> Answer:
    """Start it, and tell what the ledger said. With a key that was used before, what it said then."""
    if news := await tell_limits(client, settings.named_limits):
        log.warning("%s", news)
    if key is None:
        started = await start_cycle(client, settings, request)
        return _told(started.cycle_id, started.admission)
    cycle_id, sha256 = id_of(key), sha256_of(body)
    admission = await _earlier(client, settings, cycle_id, sha256)
    if admission is None:
        try:
            admission = (await start_cycle(client, settings, request, cycle_id, {BODY_IN_MEMO: sha256})).admission
        except WorkflowAlreadyStartedError:
            # The same key at the same time: the other one was faster.
            admission = await _earlier(client, settings, cycle_id, sha256)
    return _told(cycle_id, admission or Admission(state=AdmissionState.PENDING))


def id_of(key: str) -> str:
    """The id of the cycle that this key starts."""
    return f"cycle-key-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def sha256_of(body: Trigger) -> str:
    """Of what the body says, however it is written; a field at its default says nothing."""
    return hashlib.sha256(body.model_dump_json(exclude_defaults=True).encode()).hexdigest()


async def _earlier(client: Client, settings: Settings, cycle_id: str, sha256: str) -> Admission | None:
    """The admission of the cycle that this key has started; None where there is none yet."""
    handle = client.get_workflow_handle(cycle_id)
    description = await describe(handle)
    if description is None:
        return None
    if (await description.memo()).get(BODY_IN_MEMO) != sha256:
        raise CommandError(
            ExitCode.FAILED,
            "idempotency_conflict",
            f"this Idempotency-Key has started {cycle_id} with another body",
            "send a new key with a new body",
        )
    if description.status is WorkflowExecutionStatus.RUNNING:
        # Where it ends at this moment, its record tells.
        with contextlib.suppress(WorkflowUpdateFailedError):
            try:
                admission: Admission = await handle.execute_update("admission", result_type=Admission)
                return admission
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
    return (await fetch(client, LazyRecords(settings), cycle_id)).status.admission


def _told(cycle_id: str, admission: Admission) -> Answer:
    if admission.state is not AdmissionState.REFUSED:
        return Triggered(data=TriggeredData(operation_id=cycle_id))
    if admission.reason == Refusal.ACTIVE_OPERATION_EXISTS:
        return ActiveExists(operation_id=admission.active_ids[0] if admission.active_ids else None)
    reason = admission.reason if admission.reason in EXPLAINED else "refused"
    return Exhausted.model_validate(
        {
            "reason": reason,
            "message": admission.message or admission.reason or "the ledger gave no reason",
            "tokens_used_today": admission.used,
            "tokens_remaining": admission.remaining,
        }
    )
