"""The four steps as a flow of Prefect. To be imported where the environment already names its server."""

from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE

from benchmarks.peers.steps import Answer, work

# Without the run's id in the key, which stands in it by default, so that a flow that is run again finds what it has.
step = task(persist_result=True, cache_policy=INPUTS + TASK_SOURCE)


@step
async def design(run: str, held: str) -> Answer:
    """The first."""
    return await work("design", run, held)


@step
async def train(run: str, held: str) -> Answer:
    """The second."""
    return await work("train", run, held)


@step
async def backtest(run: str, held: str) -> Answer:
    """The third."""
    return await work("backtest", run, held)


@step
async def assess(run: str, held: str) -> Answer:
    """The last."""
    return await work("assess", run, held)


@flow(flow_run_name="{run}", persist_result=True)
async def cycle(run: str, held: str) -> Answer:
    """One after the other."""
    await design(run, held)
    await train(run, held)
    await backtest(run, held)
    answer: Answer = await assess(run, held)
    return answer
