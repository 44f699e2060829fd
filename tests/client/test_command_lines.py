"""What is typed, and what comes back: exit code, message, and JSON that is JSON. No server is needed for these."""

import gzip
from pathlib import Path

import pytest


def csv_of_a_week() -> str:
    """Five days of hourly bars."""
    hours = [(day, hour) for day in range(2, 7) for hour in range(24)]
    rows = [f"2026-03-{day:02}T{hour:02}:00:00Z,1.1,1.2,1.0,1.15,10" for day, hour in hours]
    return "\n".join(["time,open,high,low,close,volume", *rows, ""])


BAD_LINES = {
    "a command that does not exist names the nearest": (["strat"], 2, "Did you mean 'start'"),
    "an option that does not exist is named": (["start", "--symbl", "X"], 2, "No such option: --symbl"),
    "a format that does not exist names those that do": (["list", "-o", "xml"], 2, "'json'"),
    "a global option without its value is told": (["list", "-o"], 2, "the option -o needs a value"),
    "an address that is none says how to write one": (["list", "--address", "[::1"], 4, "write host:port"),
    "what is not text is refused before it is used": (["strategy", "validate", "\udcff"], 2, "not text: '\\udcff'"),
    "without a key and a designer the offline one is named": (["start"], 4, "--designer offline"),
    "claude without a key says which variable to set": (["start", "--designer", "claude"], 4, "ANTHROPIC_API_KEY"),
    "a model without claude is refused": (
        ["start", "--designer", "offline", "--model", "opus"],
        2,
        "the offline designer calls no model",
    ),
    "a status that hypotheses cannot have names those they can": (["hypotheses", "--status", "true"], 2, "'refuted'"),
    "hypotheses of what is no symbol are refused": (["hypotheses", "--symbol", "../x"], 2, "is not a symbol"),
    "an unknown designer names the known ones": (["start", "--designer", "gpt"], 2, "'offline'"),
    "an unknown symbol names the nearest": (
        ["start", "--designer", "offline", "--symbol", "EURUS"],
        2,
        "did you mean EURUSD?",
    ),
    "a symbol that is a path is only an unknown symbol": (
        ["start", "--designer", "offline", "--symbol", "../../etc/passwd"],
        2,
        "there are no bars of '../../ETC/PASSWD'",
    ),
    "a known symbol without that timeframe names those it has": (
        ["start", "--designer", "offline", "--symbol", "EURUSD", "--timeframe", "1m"],
        2,
        "there are no 1m bars of EURUSD; there are 1h",
    ),
    "an unknown timeframe names the known ones": (
        ["start", "--designer", "offline", "--timeframe", "2h"],
        2,
        "'2h' is not one of '1m'",
    ),
    "a seed below zero is refused": (["start", "--designer", "offline", "--seed", "-1"], 2, "'--seed'"),
    "a bound that does not exist names the nearest": (
        ["start", "--designer", "offline", "--set", "backtest_min_trade=3"],
        2,
        "did you mean backtest_min_trades?",
    ),
    "a bound that is no number is refused by its name": (
        ["start", "--designer", "offline", "--set", "backtest_min_sharpe=high"],
        2,
        "backtest_min_sharpe",
    ),
    "a bound out of range is refused by its name": (
        ["start", "--designer", "offline", "--set", "backtest_max_drawdown=40"],
        2,
        "backtest_max_drawdown: Input should be less than or equal to 1",
    ),
    "a bound without a value says how to write it": (
        ["start", "--designer", "offline", "--set", "backtest_min_trades"],
        2,
        "write KEY=VALUE",
    ),
    "a brief beyond its size is refused": (["start", "x" * 8001, "--designer", "offline"], 2, "brief"),
    "a timeout without waiting says what it needs": (
        ["start", "--designer", "offline", "--timeout", "5"],
        2,
        "--timeout needs --follow",
    ),
    "a strategy file that does not exist is named": (
        ["start", "--designer", "offline", "--strategy", "no/such.yaml"],
        2,
        "there is no file no/such.yaml",
    ),
    "validating a file that does not exist names it": (
        ["strategy", "validate", "no/such.yaml"],
        2,
        "there is no file no/such.yaml",
    ),
    "an unknown strategy is told": (["strategy", "show", "../secrets"], 2, "there is no strategy '../secrets'"),
    "a file to import that does not exist is named": (
        ["data", "import", "no.csv", "--symbol", "X", "--timeframe", "1h", "--asset-class", "fx"],
        2,
        "no.csv",
    ),
    "an asset class that does not exist names those that do": (
        ["data", "import", "no.csv", "--symbol", "X", "--timeframe", "1h", "--asset-class", "bond"],
        2,
        "'equity'",
    ),
    **{
        f"an empty id is not taken for what is active by {verb}": ([verb, " "], 2, "the cycle's id is empty")
        for verb in ("cancel", "status", "show")
    },
    "a filter that is no symbol is refused": (["list", "--symbol", "a' OR 'b"], 2, "is not a symbol"),
    "an outcome that does not exist names those that do": (["list", "--outcome", "great"], 2, "'rejected'"),
    "a budget without a figure says what to name": (["budget", "set"], 2, "--tokens, --usd or --max-active"),
    "dollars that are no number name the option": (["budget", "set", "--usd", "much"], 2, "--usd:"),
    "a day that is no day is refused": (["budget", "entries", "--day", "yesterday"], 2, "'--day'"),
}


@pytest.mark.parametrize(("arguments", "code", "words"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_input_is_told_in_words_and_by_its_exit_code(command, arguments, code, words):
    ran = command(*arguments)

    assert ran.code == code
    assert words in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("arguments", "code", "words"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_input_is_told_as_json_where_json_is_asked_for(command, arguments, code, words):
    if "-o" in arguments:
        arguments = [argument for argument in arguments if argument not in ("-o", "xml")] + ["--bogus"]
        words = "No such option"

    ran = command("-o", "json", *arguments)

    assert ran.code == code
    error = ran.json["error"]
    assert words in error["message"] + error.get("next", "")
    assert error["code"]
    assert ran.err == ""


def test_an_unreachable_server_is_exit_code_6_and_says_how_to_start_one(command):
    ran = command("list", "--address", "127.0.0.1:1")

    assert ran.code == 6
    assert "127.0.0.1:1" in ran.err
    assert "research dev" in ran.err


def test_settings_that_do_not_hold_are_exit_code_4_by_their_name(command, monkeypatch):
    monkeypatch.setenv("AGENT_DAILY_TOKEN_BUDGET", "plenty")

    ran = command("data", "list")

    assert ran.code == 4
    assert "AGENT_DAILY_TOKEN_BUDGET" in ran.err


def test_global_options_stand_before_or_after_the_command(command):
    before, after = command("-o", "json", "data", "list"), command("data", "list", "--output=json")

    assert before.json == after.json
    assert {(bars["symbol"], bars["timeframe"]) for bars in after.json} >= {("EURUSD", "1h"), ("AAPL", "1d")}


def test_jsonl_is_one_value_a_line(command):
    ran = command("data", "list", "-ojsonl")

    assert len(ran.out.splitlines()) == len(command("data", "list", "-ojson").json)


def test_without_a_command_the_first_screen_names_them_all(command):
    ran = command()

    assert ran.code == 0
    for name in (
        "dev",
        "start",
        "status",
        "list",
        "show",
        "cancel",
        "hypotheses",
        "budget",
        "strategy",
        "data",
        "worker",
        "config",
        "schedule",
        "replay",
        "serve",
    ):
        assert f"\n  {name} " in ran.out


def test_a_typo_in_a_strategy_is_told_with_its_line_and_the_nearest_key(command, small: Path):
    text = small.read_text()
    small.write_text(text.replace("learning_rate:", "learning_rat:"))
    line = text[: text.index("learning_rate:")].count("\n") + 1

    ran = command("strategy", "validate", str(small))

    assert ran.code == 2
    assert f"{small}:{line}:" in ran.err
    assert "learning_rate" in ran.err.replace("learning_rat ", "")


def test_every_issue_of_a_strategy_stands_in_the_json(command, small: Path):
    small.write_text(small.read_text().replace("epochs: 3", "epochs: 0").replace("name: small", "name: a/b"))

    issues = command("strategy", "validate", str(small), "-o", "json").json["error"]["strategy"]["issues"]

    assert {issue["path"] for issue in issues} == {"name", "training.epochs"}
    assert all(issue["line"] > 0 for issue in issues)


@pytest.mark.parametrize("verb", [["strategy", "validate"], ["start", "--designer", "offline", "--strategy"]])
def test_a_strategy_of_10_mb_is_refused_before_it_is_read(command, tmp_path: Path, verb):
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"name: x\n" + b"#" * 10_000_000)

    ran = command(*verb, str(huge))

    assert ran.code == 2
    assert "10,000,008 bytes" in ran.err


def test_a_strategy_that_is_no_text_is_refused(command, tmp_path: Path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(gzip.compress(b"name: x"))

    ran = command("strategy", "validate", str(path))

    assert ran.code == 2
    assert "is not a valid strategy" in ran.err


def test_what_this_version_cannot_train_is_valid_but_not_started(command, small: Path):
    text = small.read_text().replace("{source: zigzag, zigzag_threshold: 0.005}", "{source: context}")
    small.write_text(text)

    report = command("strategy", "validate", str(small), "-o", "json")
    started = command("start", "--designer", "offline", "--strategy", str(small))

    assert (report.code, report.json["trainable"]) == (0, False)
    assert started.code == 2
    assert "source: context" in started.err


def test_a_date_range_without_bars_is_refused_before_anything_is_started(command, small: Path):
    dates = "history_required: 100\n  date_range: {start: 2001-01-01, end: 2002-01-01}"
    small.write_text(small.read_text().replace("history_required: 100", dates))

    ran = command("start", "--designer", "offline", "--strategy", str(small), "-o", "json")

    assert (ran.code, ran.json["error"]["code"]) == (2, "data_unavailable")
    assert "2001-01-01 to 2002-01-01 leave 0 of them" in ran.json["error"]["message"]


def test_a_strategy_for_other_bars_is_refused_before_anything_is_started(command, small: Path):
    ran = command("start", "--designer", "offline", "--strategy", str(small), "--symbol", "AAPL", "--timeframe", "1d")

    assert ran.code == 2
    assert "is made for 1h bars, not for 1d" in ran.err


def test_a_symbol_that_the_strategy_does_not_name_is_told(command, small: Path):
    nobody = ("--address", "127.0.0.1:1")
    ran = command(*nobody, "start", "--designer", "offline", "--strategy", str(small), "--symbol", "PLANTED")

    assert ran.code == 6  # no server: everything before it was accepted
    assert "the strategy names EURUSD; it is researched on PLANTED" in ran.err


def test_a_users_bars_are_imported_and_listed(command, tmp_path: Path):
    (tmp_path / "mine.csv").write_text(csv_of_a_week())
    line = ["data", "import", str(tmp_path / "mine.csv"), "--symbol", "mine", "--timeframe", "1h"]

    imported = command(*line, "--asset-class", "fx", "-o", "json")

    assert (imported.code, imported.json["symbol"], imported.json["bars"]) == (0, "MINE", 120)
    assert "MINE" in command("data", "list").out


def test_bars_that_break_a_rule_are_refused_by_their_line(command, tmp_path: Path):
    (tmp_path / "mine.csv").write_text(csv_of_a_week().replace("1.2,1.0", "1.0,1.2", 1))
    line = ["data", "import", str(tmp_path / "mine.csv"), "--symbol", "MINE", "--timeframe", "1h"]

    ran = command(*line, "--asset-class", "fx")

    assert ran.code == 2
    assert "line 2" in ran.err


def test_with_a_key_claude_designs_unless_another_is_named(command, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "no-key-and-never-sent")

    ran = command("start", "--address", "127.0.0.1:1", "--model", "Opus")

    assert ran.code == 6  # no server: everything before it was accepted
    assert "no-key-and-never-sent" not in ran.out + ran.err


def test_a_model_that_is_misspelt_names_the_nearest(command, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "no-key-and-never-sent")

    ran = command("start", "--model", "sonet")

    assert ran.code == 2
    assert "did you mean sonnet?" in ran.err


def test_a_model_without_a_known_price_is_told(command, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "no-key-and-never-sent")

    ran = command("start", "--address", "127.0.0.1:1", "--model", "claude-next-9")

    assert ran.code == 6
    assert "no price is known for the model claude-next-9" in ran.err
