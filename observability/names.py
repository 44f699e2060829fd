"""Names that dashboards, alerts and saved queries build on: of spans, their attributes, and metrics."""

SERVICE = "ktrdr-research"

# Spans of a cycle, and their attributes.
CYCLE_SPAN = "agent.research_cycle"
PHASE_SPANS = {
    "designing": "agent.phase.design",
    "training": "agent.phase.training",
    "backtesting": "agent.phase.backtest",
    "assessing": "agent.phase.assess",
}
"""By the phase's name in the status."""
ATTEMPT_SPAN = "agent.attempt"
"""An attempt at an activity that failed."""
START_SPAN = "research start"

OPERATION_ID = "operation.id"
OUTCOME = "outcome"
PHASE = "phase"
STRATEGY_NAME = "strategy.name"
TOKENS_INPUT = "tokens.input"
TOKENS_OUTPUT = "tokens.output"
TRAINING_ACCURACY = "training.accuracy"
TRAINING_LOSS = "training.final_loss"
BACKTEST_WIN_RATE = "backtest.win_rate"
BACKTEST_SHARPE = "backtest.sharpe"
VERDICT = "assessment.verdict"
ACTIVITY = "activity"
ATTEMPT = "attempt"
ERROR_TYPE = "error.type"
ERROR_MESSAGE = "error.message"
EXCEPTION_EVENT, EXCEPTION_TYPE, EXCEPTION_MESSAGE = "exception", "exception.type", "exception.message"


def gate(name: str, what: str) -> str:
    """`passed` or `reason` of a gate."""
    return f"gate.{name}.{what}"


# The OpenTelemetry conventions for generative AI, as of their repository of 2026 (in development there). The spans of
# Claude's calls and all their attributes are the anthropic SDK's; only their name is ours.
GEN_AI_MESSAGES_SPAN = "anthropic.messages.create"
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_MODEL = "gen_ai.request.model"

# Metrics.
PREFIX = "ktrdr_agent_"
