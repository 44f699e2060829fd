"""All stories in which a worker dies, by the names that stand in the table of awaits."""

from . import as_fork, at_reset, at_service, scenarios, with_claude
from .scenarios import Story

STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (
        scenarios.designed,
        scenarios.orchestrator,
        scenarios.engine,
        scenarios.cancel,
        scenarios.cancel_in_engine,
        scenarios.metered,
        scenarios.swept,
        scenarios.swept_late,
        scenarios.lost,
        scenarios.forgotten,
        at_service.service,
        at_service.service_forgets,
        at_service.service_cancelled,
        at_service.service_withdrawn,
        at_service.service_cancelled_as_it_starts,
        at_service.service_says_no,
        at_service.service_terminated,
        at_reset.service_reset,
        as_fork.forked,
        with_claude.claude,
    )
}
