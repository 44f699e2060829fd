"""What the designer is told: who it is and how it is judged (the same for all cycles), and this cycle's own opening.

An opening is bounded in bytes. Half of them is a safe bound of its tokens: with the tokenizer that Anthropic published
for an earlier model such text has 3.1 to 4.2 bytes a token, and 2.6 where it is nearly all digits.
"""

from collections.abc import Iterable, Sequence

from claude.catalogue import catalogue, grammar, sketch
from claude.quoting import NOTE, inline, listed, quoted
from domain.cycle import CycleRequest, Outcome, TrialRecord
from domain.gates import GateThresholds
from domain.memory import DesignNotes, Experiment, OpenHypothesis
from domain.strategy import Capabilities
from engine.bars import Bars, BarsInfo
from engine.costs import round_trip
from engine.design_space import Ground
from engine.splits import BACKTEST, LOCKBOX, TRAIN, VALIDATION

MOST_BRIEF = 10_000
"""Bytes of the brief that are shown."""

MOST_MEMORY = 8_400
"""Bytes that recent experiments and open hypotheses may take."""

MOST_SETS = 30
"""Sets of bars that are named."""

EXAMPLE = """\
name: example_only
version: "3.0"
training_data:
  symbols: {mode: single, symbol: EURUSD}
  timeframes: {mode: single, timeframe: 1h}
indicators:
  rsi_21: {type: rsi, period: 21}
  slow: {type: ema, period: 80}
fuzzy_sets:
  stretched:
    indicator: rsi_21
    low: {type: trapezoidal, parameters: [0, 0, 25, 40]}
    high: {type: trapezoidal, parameters: [60, 75, 100, 100]}
  against_trend:
    indicator: slow
    input_transform: {type: price_ratio, reference: close}
    below: {type: triangular, parameters: [0.98, 0.99, 1.0]}
    above: {type: triangular, parameters: [1.0, 1.01, 1.02]}
nn_inputs:
  - {fuzzy_set: stretched}
  - {fuzzy_set: against_trend}
  - {raw_indicator: rsi_21, normalization: zscore}
model:
  type: mlp
  architecture: {hidden_layers: [16], activation: relu, dropout: 0.1}
decisions:
  output_format: classification
  confidence_threshold: 0.55
  allow_short_from_flat: true
  filters: {min_signal_separation: 12}
training:
  labels: {source: zigzag, zigzag_threshold: 0.01, label_lookahead: 20}
  loss: cross_entropy
  epochs: 60
  batch_size: 128
  learning_rate: 0.002
  early_stopping: {enabled: true, patience: 10}
"""


def system(able: Capabilities) -> str:
    """Who the designer is, how a cycle is judged, and the grammar."""
    return f"""\
You design trading strategies for a research laboratory. Each research cycle tests one strategy, once, on bars that were
fixed beforehand. You work by tools alone, and are done when submit_strategy has taken a strategy. Nobody answers
questions: decide yourself, and say why in the hypothesis.

# How a cycle is judged
- The bars are divided by time: train {TRAIN:.0%}, validation {VALIDATION:.0%}, backtest {BACKTEST:.0%}; the last \
{LOCKBOX:.0%} stay sealed. The network is fitted on train.
- The training gate looks at validation: balanced accuracy against chance, and loss against guessing.
- Only a strategy that passed is backtested, after costs, and has to pass the backtest gate.
- An assessor then asks whether luck explains the result: every backtest of the same symbol and timeframe raises the \
bar for all later ones. A cycle spent on a variant of what failed costs the whole laboratory.

# Rules
- Honest work: nothing is known of the backtest part, and nobody tells you its figures. Do not ask for them or guess.
- The hypothesis says what the strategy claims about these bars so that the cycle can find it false: name a figure and \
a bound. State a reason why the market should behave so.
- The strategy is new: one that differs only in names or wording from one that was tried is refused.
- Fit it to the memory: do not repeat what was rejected without a reason that answers the rejection.
- Prefer few inputs and a small network: the bars are few and noisy. A class that is traded has to be frequent in \
train, or the training fails: labels of 10 % and more a class are sound.
- Choose fuzzy sets and thresholds by the values that get_indicator tells of train.
- {NOTE}
- Most designs need three steps: look up an indicator or an experiment if it matters, validate_strategy, \
submit_strategy. You have few turns and a budget of tokens: be brief, and use several tools in one turn where you can.

# A strategy: YAML, grammar v3
Keys with bounds, and defaults in brackets:
{grammar(able)}
Only the form counts in this example:
{EXAMPLE}
# Indicators
{catalogue(able)}
"""


def opening(
    request: CycleRequest,
    bars: Bars,
    ground: Ground,
    sets: Sequence[BarsInfo],
    trials: Sequence[TrialRecord],
    experiments: Sequence[Experiment],
    hypotheses: Sequence[OpenHypothesis],
) -> str:
    """This cycle: what is asked, on which bars, past which gates, and what is remembered."""
    brief = quoted("brief", request.brief.strip() or "No brief: choose what is most worth testing.", MOST_BRIEF)
    return "\n\n".join(
        (
            f"Design one strategy for {request.symbol} at {request.timeframe}.\n{brief}",
            f"# Bars\n{_bars(bars, ground)}\n{_other_sets(sets, request)}",
            f"# Gates to pass\n{_gates(request.thresholds)}",
            f"# Memory: {request.symbol} {request.timeframe}\n{_memory(trials, experiments, hypotheses)}",
            "Submit a strategy by submit_strategy.",
        )
    )


def experiment_line(experiment: Experiment) -> str:
    """An earlier cycle in a line: what it was, and what became of it, without the backtest part."""
    trial = experiment.trial
    notes = DesignNotes.among(trial.parameters)
    tests = f" Tests {notes.tests_hypothesis}." if notes else ""
    return f"- {inline(trial.cycle_id, 80)}: {inline(sketch(experiment.strategy_text), 300)}.{tests} {_fate(trial)}"


def hypothesis_line(hypothesis: OpenHypothesis) -> str:
    """An open hypothesis in a line."""
    return f"- {hypothesis.id} ({hypothesis.status.value}): {inline(hypothesis.text, 400)}"


def _fate(trial: TrialRecord) -> str:
    skill = "" if trial.validation_skill is None else f", skill {trial.validation_skill:+.3f} in validation"
    if trial.backtest_gate_passed is not None:
        said = "passed" if trial.backtest_gate_passed else "said no"
        return f"{trial.outcome.value}{skill}; the backtest gate {said}"
    why = f": {inline(trial.reason, 240)}" if trial.reason else ""
    return f"{trial.outcome.value}{skill}{why}"


def _bars(bars: Bars, ground: Ground) -> str:
    close = ground.train["close"]
    low, middle, high = (f"{close.quantile(q):.5g}" for q in (0.1, 0.5, 0.9))
    made = "synthetic bars" if bars.synthetic else f"{bars.asset_class.value} bars"
    return (
        f"{len(bars.frame):,} {made} from {bars.frame.index[0]:%Y-%m-%d} to {bars.frame.index[-1]:%Y-%m-%d}; a round "
        f"trip costs about {round_trip(bars.asset_class):.3g} of the price.\n"
        f"Train part alone: {len(ground.train):,} bars, close {low} / {middle} / {high} (10th, 50th, 90th percentile), "
        f"a bar moves by {ground.typical_return:.3g} of the price (median)."
    )


def _other_sets(sets: Sequence[BarsInfo], request: CycleRequest) -> str:
    this = (request.symbol, request.timeframe)
    names = [f"{each.symbol} {each.timeframe}" for each in sets if (each.symbol, each.timeframe) != this]
    if not names:
        return "There are no other bars."
    more = f", and {len(names) - MOST_SETS} more" if len(names) > MOST_SETS else ""
    return f"Other cycles may use {inline(', '.join(names[:MOST_SETS]), 1500)}{more}; this one uses its own alone."


def _gates(bounds: GateThresholds) -> str:
    return (
        f"- training: balanced accuracy at least 1/k + {bounds.training_min_skill:g} with k classes (regression: the "
        f"direction right in at least 0.5 + {bounds.training_min_skill:g}); validation loss at most "
        f"{bounds.training_max_loss_ratio:g} times that of guessing; train loss falls by at least "
        f"{bounds.training_min_loss_decrease:g} of its first\n"
        f"- backtest, after costs: win rate at least {bounds.backtest_min_win_rate:g}, drawdown at most "
        f"{bounds.backtest_max_drawdown:g}, Sharpe ratio at least {bounds.backtest_min_sharpe:g}, at least "
        f"{bounds.backtest_min_trades} trades"
    )


def _memory(
    trials: Sequence[TrialRecord], experiments: Sequence[Experiment], hypotheses: Sequence[OpenHypothesis]
) -> str:
    if not trials and not hypotheses:
        return "Nothing has been tried here."
    counts = ", ".join(
        f"{sum(trial.outcome is outcome for trial in trials)} {outcome.value}"
        for outcome in (Outcome.COMPLETED, Outcome.REJECTED, Outcome.FAILED)
    )
    room = MOST_MEMORY
    asked = _within((hypothesis_line(each) for each in hypotheses), room // 3)
    room -= sum(len(line.encode()) for line in asked)
    tried = _within((experiment_line(each) for each in experiments), room)
    parts = [f"{len(trials)} strategies were tried, none of which may be repeated: {counts}."]
    if tried:
        told = "list_experiments tells of more, also the best in validation; get_experiment tells all of one"
        parts += [f"The newest {len(tried)} ({told}):", listed("experiments", tried)]
    if asked:
        parts += [
            "Open hypotheses; name the one that your strategy tests, if it tests one:",
            listed("hypotheses", asked),
        ]
    return "\n".join(parts)


def _within(lines: Iterable[str], room: int) -> list[str]:
    kept: list[str] = []
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return kept
