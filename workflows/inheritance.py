"""What a cycle takes over that is a fork of an earlier one."""

from domain.cycle import Fork
from domain.forking import Inherited
from workflows.failures import call
from workflows.policies import ActivityPolicy


async def inherited(fork: Fork | None, policy: ActivityPolicy) -> Inherited:
    """The source's results from before the first phase that is the fork's own; nothing for a cycle that is none.

    Raises CycleFailed, or the cancel as it came.
    """
    if fork is None:
        return Inherited()
    summary = f"results of {fork.cycle_id} before its {fork.phase.value}"
    return await call("inherit", fork, Inherited, policy, summary=summary)
