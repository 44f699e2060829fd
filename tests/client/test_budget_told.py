"""What people tell the ledger reaches it between two of its runs too, once; where nobody works, they are told so."""

from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, Interceptor, OutboundInterceptor, StartWorkflowUpdateInput, WorkflowUpdateHandle
from temporalio.service import RPCError, RPCStatusCode

from client.budget import ledger, resume, set_limits
from client.exits import CommandError
from domain.ledger import BudgetInput, BudgetStatus, Limits, LimitsChange, budget_workflow_id
from workflows.budget import BudgetWorkflow

from .conftest import Place


class Deaf(Interceptor):
    """The server takes an update, and says that it did not, so many times."""

    def __init__(self, times: int, status: RPCStatusCode) -> None:
        self.times, self.status = times, status
        self.sent: list[str | None] = []

    def intercept_client(self, inner: OutboundInterceptor) -> OutboundInterceptor:
        return _Deaf(inner, self)


class _Deaf(OutboundInterceptor):
    def __init__(self, inner: OutboundInterceptor, script: Deaf) -> None:
        super().__init__(inner)
        self.script = script

    async def start_workflow_update(self, sent: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[BudgetStatus]:
        handle = await super().start_workflow_update(sent)
        self.script.sent.append(sent.update_id)
        if len(self.script.sent) <= self.script.times:
            raise RPCError("unexpected workflow task failure", self.script.status, b"")
        return handle


def through(client: Client, script: Deaf) -> Client:
    """The same client, by way of the script."""
    return Client(
        client.service_client, namespace=client.namespace, data_converter=client.data_converter, interceptors=[script]
    )


async def accepted(client: Client) -> list[str]:
    """The ids of the updates that the ledger heard."""
    return [
        event.workflow_execution_update_accepted_event_attributes.accepted_request.meta.update_id
        async for event in ledger(client).fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    ]


@pytest.mark.parametrize("status", [RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.RESOURCE_EXHAUSTED])
async def test_an_update_that_meets_the_end_of_the_ledgers_run_is_sent_again_and_counts_once(
    place: Place, temporal_env, status: RPCStatusCode
) -> None:
    script = Deaf(2, status)
    told = await resume(through(temporal_env.client, script))
    assert told.paused is None
    assert len(script.sent) == 3
    assert (await accepted(temporal_env.client)).count(str(script.sent[0])) == 1


async def test_an_update_that_is_never_taken_is_not_sent_for_ever(
    place: Place, temporal_env, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.budget.SEND_AGAIN", 0.0)
    script = Deaf(1_000, RPCStatusCode.FAILED_PRECONDITION)
    with pytest.raises(CommandError, match="no worker answers"):
        await resume(through(temporal_env.client, script))
    assert len(script.sent) == 8


async def test_where_no_worker_answers_for_the_ledger_a_person_is_told_so(
    elsewhere: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.budget.PATIENCE", timedelta(seconds=0.3))
    await elsewhere.start_workflow(
        BudgetWorkflow.run, BudgetInput(limits=Limits()), id=budget_workflow_id(None), task_queue="nobody-home"
    )
    with pytest.raises(CommandError, match="no worker answers") as raised:
        await set_limits(elsewhere, LimitsChange(tokens_per_day=1_000))
    assert (raised.value.exit_code, raised.value.code) == (6, "no_worker")
