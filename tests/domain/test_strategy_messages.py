"""What is wrong with a file is told all at once, with the path, the line and what would be right."""

import time
from pathlib import Path

import pytest

from domain.strategy import StrategyInvalid, load_strategy

BASE = (Path(__file__).parent / "strategies" / "rsi_reversal.yaml").read_text()
MEMBERS = """    oversold:
      type: triangular
      parameters: [0, 25, 40]
    overbought:
      type: triangular
      parameters: [60, 75, 100]
"""


def issues_of(text: str | bytes) -> list[tuple[str, int, str, str]]:
    with pytest.raises(StrategyInvalid) as caught:
        load_strategy(text)
    return [(i.path, i.line, i.message, i.hint) for i in caught.value.issues]


def line_of(text: str, needle: str) -> int:
    return text[: text.index(needle)].count("\n") + 1


# What stands in the file, what is written instead, and of the issue: path, text of its line, message, hint.
ONE_MISTAKE = [
    ("name: rsi_reversal", "name: ../a", "name", "name: ../a", "is '../a'", "letters, digits, _ and -"),
    ("name: rsi_reversal", f"name: {'a' * 81}", "name", "name: a", "is 'aaa", "up to 80 characters"),
    ('"3.0"', '"2.0"', "version", "version", "is '2.0'", "3.0"),
    ("decisions:", "decision:", "decision", "decision:", "not a key", "did you mean 'decisions'?"),
    ("epochs: 80", "epoch: 80", "model.training.epoch", "epoch: 80", "not a key", "did you mean 'epochs'?"),
    ("epochs: 80", "epochs: 1001", "model.training.epochs", "epochs: 1001", "is 1001", "at least 1 and at most 1000"),
    ("epochs: 80", "epochs: 0", "model.training.epochs", "epochs: 0", "is 0", "at least 1 and at most 1000"),
    ("epochs: 80", "epochs: 1.5", "model.training.epochs", "epochs: 1.5", "not a whole number", "at least 1"),
    ("epochs: 80", "epochs: true", "model.training.epochs", "epochs: true", "is True, which is not a number",
     "at least"),
    ("batch_size: 64", "batch_size: 65537", "model.training.batch_size", "batch_size", "is 65537", "at most 65536"),
    ("learning_rate: 0.001", "learning_rate: .inf", "model.training.learning_rate", "learning_rate", "'.inf'",
     "above 0"),
    ("learning_rate: 0.001", 'learning_rate: "1e999"', "model.training.learning_rate", "learning_rate", "finite", ""),
    ("optimizer: adam", "optimizer: sgd", "model.training.optimizer", "optimizer", "is 'sgd'", "adam"),
    ("enabled: true", "enabled: maybe", "model.training.early_stopping.enabled", "enabled: m", "neither",
     "true or false"),
    ("patience: 12", "patiense: 12", "model.training.early_stopping.patiense", "patiense", "not a key", "'patience'?"),
    ("period: 14", "period: 101", "indicators.rsi_14.period", "period: 101", "is 101", "a whole number from 2 to 100"),
    ("period: 14", "period: 1", "indicators.rsi_14.period", "period: 1", "is 1", "from 2 to 100 (default 14)"),
    ("period: 14", "period: .nan", "indicators.rsi_14.period", "period: .nan", "'.nan', which is not a number",
     "from 2"),
    ("period: 14", "perod: 14", "indicators.rsi_14.perod", "perod", "not a parameter of rsi", "did you mean 'period'?"),
    ("source: close", "source: vwap", "indicators.rsi_14.source", "source: vwap", "is 'vwap'",
     "open, high, low, close"),
    ("source: close", "data_source: VIX", "indicators.rsi_14.data_source", "data_source", "no context_data",
     "context_data"),
    ("type: rsi", "type: rsy", "indicators.rsi_14.type", "type: rsy", "no indicator", "did you mean 'rsi'?"),
    (MEMBERS, "", "fuzzy_sets.rsi_14", "rsi_14:\n    indicator", "has no members", "at least one"),
    ("[0, 25, 40]", "[40, 25, 0]", "fuzzy_sets.rsi_14.oversold", "oversold:", "not in rising order", "a <= b <= c"),
    ("[0, 25, 40]", "[0, 25]", "fuzzy_sets.rsi_14.oversold", "oversold:", "has 2 parameters", "a <= b <= c"),
    ("triangular\n      parameters: [0, 25, 40]", "gaussian\n      parameters: [30, 0]", "fuzzy_sets.rsi_14.oversold",
     "oversold:", "has sigma 0", "above 0"),
    ("type: triangular", "type: sigmoid", "fuzzy_sets.rsi_14.oversold.type", "type: sigmoid", "'sigmoid'", "gaussian"),
    ("[0, 25, 40]", "[0, 25, .nan]", "fuzzy_sets.rsi_14.oversold.parameters[2]", "[0, 25, .nan]", "not a number", ""),
    ("indicator: rsi_14", "indicator: rsi14", "fuzzy_sets.rsi_14.indicator", "indicator: rsi14", "does not exist",
     "'rsi_14'"),
    ("indicator: rsi_14", "indicator: rsi_14.k", "fuzzy_sets.rsi_14.indicator", "indicator: rsi_14.k", "output 'k'",
     "without a dot"),
    ("- fuzzy_set: rsi_14", "- fuzzy_set: rsi_41", "nn_inputs[0].fuzzy_set", "- fuzzy_set", "does not exist",
     "'rsi_14'?"),
    ("timeframes: all", "timeframes: [4h]", "nn_inputs[0].timeframes", "timeframes: [4h]", "asks for 4h", "some of 1h"),
    ("timeframes: all", "timeframe: all", "nn_inputs[0].timeframe", "timeframe: all", "not a key", "'timeframes'?"),
    ("timeframes: all", "normalization: zscore", "nn_inputs[0].normalization", "normalization", "raw_indicator alone",
     ""),
    ("timeframes: all", "raw_indicator: rsi_14", "nn_inputs[0]", "- fuzzy_set", "either fuzzy_set or raw", "one of"),
    ("timeframes: all\n", "timeframes: all\n  - fuzzy_set: rsi_14\n", "nn_inputs[1]", "- fuzzy_set: rsi_14\nmodel",
     "nn_inputs[0] gives already", "once"),
    ("  - fuzzy_set: rsi_14\n    timeframes: all\n", "  []\n", "nn_inputs", "nn_inputs", "has no entries",
     "at least one"),
    ("type: mlp", "type: transformer", "model.type", "type: transformer", "'transformer'", "gru, lstm, mlp"),
    ("[32, 16]", "[1000000]", "model.architecture.hidden_layers[0]", "hidden_layers", "is 1000000", "at most 1024"),
    ("[32, 16]", "1000000", "model.architecture.hidden_layers", "hidden_layers", "not a list", "[a, b]"),
    ("[32, 16]", "[" + "8, " * 9 + "]", "model.architecture.hidden_layers", "hidden_layers", "entries", "at most 8"),
    ("[32, 16]", "[]", "model.architecture.hidden_layers", "hidden_layers", "has 0 entries", "at least 1"),
    ("dropout: 0.2", "dropout: 1.0", "model.architecture.dropout", "dropout: 1.0", "is 1", "at least 0"),
    ("activation: relu", "activation: gelu", "model.architecture.activation", "activation: gelu", "'gelu'", "relu"),
    ("output_format: classification", "output_format: regresion", "decisions.output_format", "output_format",
     "is 'regresion'",
     "did you mean 'regression'?"),
    ("confidence_threshold: 0.6", "confidence_threshold: 60", "decisions.confidence_threshold", "confidence", "is 60",
     "at most 1"),
    ("method: supervised", "loss: huber", "training.loss", "loss: huber", "does not fit output_format",
     "cross_entropy, focal"),
    ("method: supervised", "loss: crossentropy", "training.loss", "loss:", "'crossentropy'",
     "did you mean 'cross_entropy'?"),
    ("method: supervised", "lr_scheduler: {type: cosine}", "training.lr_scheduler.type", "lr_scheduler", "'cosine'",
     "step"),
    ("source: zigzag", "source: zigzak", "training.labels.source", "source: zigzak", "'zigzak'",
     "did you mean 'zigzag'?"),
    ("zigzag_threshold: 0.02", "zigzag_threshold: 2", "training.labels.zigzag_threshold", "zigzag_thr", "is 2",
     "0.02 is 2 %"),
    ("zigzag_threshold", "zigzag_treshold", "training.labels.zigzag_treshold", "zigzag_tres", "not a key",
     "'zigzag_threshold'?"),
    ("train: 0.7", "train: 0.9", "training.data_split", "data_split", "adds up to 1.2", "add up to 1"),
    ("timeframe: 1h", "timeframe: 2h", "training_data.timeframes.timeframe", "timeframe: 2h", "no timeframe", "1m, 5m"),
    ("timeframe: 1h", "timeframe: {}", "training_data.timeframes.timeframe", "timeframe: {}", "no timeframe", "1m, 5m"),
    ("timeframe: 1h", "timeframe: 1M", "training_data.timeframes.timeframe", "timeframe: 1M", "no timeframe", "1m, 5m"),
    ("mode: single", "mode: singel", "training_data.symbols.mode", "mode: singel", "'singel'",
     "did you mean 'single'?"),
    ("symbol: EURUSD", "symbol: ../EURUSD", "training_data.symbols.symbol", "symbol: ..", "is '../EURUSD'",
     "such as EURUSD"),
    ("symbol: EURUSD", "list: [A, B]", "training_data.symbols.mode", "mode: single", "2 are listed", "multi_symbol"),
    ("history_required: 200", "history_required: 49", "training_data.history_required", "history", "is 49",
     "at least 50"),
    ("history_required: 200", "start_date: 2024", "training_data.start_date", "start_date", "not a date", "2024-01-31"),
    ("history_required: 200", "start_date: 2024-01-02\n  end_date: 2024-01-01", "training_data.end_date", "end_date",
     "before the start", "on or after"),
    ("epochs: 80", "epochs: 80\n    epochs: 90", "model.training.epochs", "epochs: 80", "twice", "keep one"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "path", "at", "message", "hint"), ONE_MISTAKE, ids=lambda value: str(value)[:40]
)
def test_a_mistake_is_one_issue_with_path_line_and_remedy(old, new, path, at, message, hint):
    assert old in BASE
    text = BASE.replace(old, new, 1)
    issues = issues_of(text)
    assert [(issue[0], issue[1]) for issue in issues] == [(path, line_of(text, at))]
    assert message in issues[0][2]
    assert hint in issues[0][3]


# What is read, the line where reading ended, what is said.
UNREADABLE = [
    ("", 1, "is empty"),
    ("hello", 1, "is not a mapping"),
    ("- a\n", 1, "is not a mapping"),
    ("name: a\nb: [1, 2\nc: 3\n", 3, "is not valid YAML"),
    ("name: a\n\tb: 1\n", 2, "is not valid YAML"),
    ("a: &a [1]\nb: [*a, *a]\n", 1, "anchor or alias 'a'"),
    ("a: 1\nb: *c\n", 2, "anchor or alias 'c'"),
    ('a: !!python/object/apply:os.system ["true"]\n', 1, "uses the tag"),
    ("a: 1\n---\nb: 2\n", 2, "second document"),
    ("? [a]\n: 1\n", 1, "a list or mapping for a key"),
    ("[" * 100_000, 1, "nested deeper than 16"),
    ("a: [" + "1, " * 60_000 + "]", 1, "more than 20000 values"),
    ("x" * 10_000_000, 1, "has 10000000 bytes"),
    ("\u20ac" * 100_000, 1, "has over 262144 bytes"),
    ("a: \x00", 1, "is not valid YAML"),
    (b"a: 1\nb: \xff\n", 2, "is not UTF-8"),
]


@pytest.mark.parametrize(("text", "line", "message"), UNREADABLE, ids=[message for _, _, message in UNREADABLE])
def test_text_that_cannot_be_read_is_refused_where_reading_ended(text, line, message):
    issues = issues_of(text)
    assert [(issue[0], issue[1]) for issue in issues] == [("(document)", line)]
    assert message in issues[0][2]


def test_all_mistakes_are_told_at_once_in_the_order_of_lines():
    text = BASE
    for old, new in [("period: 14", "period: 1"), ("fuzzy_set: rsi_14", "fuzzy_set: rsi"), ("epochs: 80", "epochs: 0"),
                     ("dropout: 0.2", "dropuot: 0.2"), ("source: zigzag", "source: zig")]:  # fmt: skip
        text = text.replace(old, new, 1)
    assert [issue[0] for issue in issues_of(text)] == [
        "indicators.rsi_14.period",
        "nn_inputs[0].fuzzy_set",
        "model.architecture.dropuot",
        "model.training.epochs",
        "training.labels.source",
    ]


def test_every_missing_section_is_named():
    assert [issue[0] for issue in issues_of("name: x\n")] == [
        "training_data",
        "indicators",
        "nn_inputs",
        "model",
        "training",
    ]


def test_a_file_of_grammar_v2_is_recognised_and_gets_one_answer():
    issues = issues_of("name: x\nversion: '2.0'\nindicators:\n- name: rsi\n  period: 14\n")
    assert [(issue[0], issue[1]) for issue in issues] == [("indicators", 3)]
    assert "v2" in issues[0][2]


@pytest.mark.parametrize(
    ("kind", "reference", "reason"),
    [("ichimoku", "cloud.chikou", "drawn back in time"), ("zigzag", "cloud", "only after the price has turned")],
)
def test_what_looks_ahead_is_refused_as_an_input_with_the_reason(kind, reference, reason):
    text = BASE.replace("type: rsi\n    period: 14\n    source: close", f"type: {kind}").replace("rsi_14:", "cloud:")
    as_set = issues_of(
        text.replace("indicator: rsi_14", f"indicator: {reference}").replace("set: rsi_14", "set: cloud")
    )
    as_raw = issues_of(
        text.replace("indicator: rsi_14", "indicator: cloud" if kind == "zigzag" else "indicator: cloud.kijun").replace(
            "- fuzzy_set: rsi_14", f"- raw_indicator: {reference}"
        )
    )
    assert as_set[0][0] == "fuzzy_sets.cloud.indicator"
    assert reason in as_set[0][2]
    assert as_raw[-1][0] == "nn_inputs[0].raw_indicator"
    assert reason in as_raw[-1][2]


def test_a_message_never_grows_with_its_input():
    text = BASE.replace("epochs: 80", f"epochs: {'9' * 100_000}").replace("type: mlp", f"type: {'m' * 10_000}")
    with pytest.raises(StrategyInvalid) as caught:
        load_strategy(text)
    assert all(len(str(issue)) < 300 for issue in caught.value.issues)


def test_the_number_of_issues_told_is_bounded():
    text = BASE + "".join(f"key_{i}: 1\n" for i in range(500))
    issues = issues_of(text)
    assert len(issues) == 101
    assert issues[-1][2] == "has 400 more issues"


@pytest.mark.parametrize(
    ("section", "entry", "most"),
    [
        ("indicators:\n", "  extra_{}: {{type: rsi}}\n", 64),
        ("fuzzy_sets:\n", "  extra_{}: {{indicator: rsi_14, a: [1, 2, 3]}}\n", 128),
    ],
)
def test_sizes_are_bounded(section, entry, most):
    def with_entries(count: int) -> str:
        return BASE.replace(section, section + "".join(entry.format(i) for i in range(count)), 1)

    load_strategy(with_entries(most - 1))
    assert [(i[0], i[3]) for i in issues_of(with_entries(most))] == [(section.strip(":\n"), f"at most {most}")]


@pytest.mark.parametrize(
    ("section", "entry"), [("fuzzy_sets:\n", "  extra_{}: {{a: 1}}\n"), ("nn_inputs:\n", "  - {{fuzzy: s{}}}\n")]
)
def test_a_section_that_is_too_large_is_told_once_and_its_entries_are_not_read(section, entry):
    text = BASE.replace(section, section + "".join(entry.format(i) for i in range(2000)), 1)
    (issue,) = issues_of(text)
    assert issue[0] == section.strip(":\n")
    assert issue[3] == "at most 128"


def test_an_issue_reads_as_one_line():
    with pytest.raises(StrategyInvalid) as caught:
        load_strategy(BASE.replace("epochs: 80", "epoch: 80"))
    assert (
        str(caught.value) == "line 47: model.training.epoch is not a key of the grammar here (did you mean 'epochs'?)"
    )


def test_a_hostile_file_is_answered_in_seconds():
    text = BASE.replace("method: supervised", "method: a\n" + "".join(f"  epochz{i}: 1\n" for i in range(8000)))
    started = time.process_time()
    assert len(issues_of(text)) == 101
    assert time.process_time() - started < 15
