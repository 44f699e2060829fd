"""The model's calls of one cycle with their tokens and cost, read from its history on the server."""

from temporalio.client import Client
from temporalio.service import RPCError

from client.audit_calls import Call, HistoryReader, Unreadable
from client.report_files import Missing


async def calls_of(client: Client, cycle_id: str, run_id: str) -> tuple[Call, ...] | Missing:
    """The calls that were, or may have been, billed, in the order of their ends; or why the history does not tell."""
    reader = HistoryReader(cycle_id, run_id)
    handle = client.get_workflow_handle(cycle_id, run_id=run_id)
    try:
        async for event in handle.fetch_history_events(skip_archival=True):
            reader.read(event)
        return reader.telling().calls
    except RPCError as error:
        return Missing(
            f"The server does not give the cycle's history (any more): {error.message or error.status.name}."
        )
    except Unreadable as error:
        return Missing(f"The cycle's history cannot be read: {error}.")
