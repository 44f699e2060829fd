"""The many ways in which files write the same thing, brought into the schema's one form.

A shape keeps the origin of what it moved, so that a later complaint names the place in the file and not the schema's.
Values are not judged here, except where there is no sound way to read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.grammar.features import FUZZY_SET_KEYS
from domain.grammar.indicators import IndicatorType
from domain.grammar.learning import ContextSeries, TrainingData
from domain.grammar.values import PRICE_COLUMNS, Loc, Problem, dotted, nearest, shorten

IGNORED_KEYS: Mapping[Loc, tuple[str, ...]] = {
    (): ("scope", "deployment"),
    ("model",): ("features", "input_size"),
    ("training",): ("method", "analytics"),
    ("model", "training"): ("method", "analytics"),
    ("decisions",): ("num_classes",),
}
"""Keys that real files carry and that change nothing here."""


@dataclass
class Findings:
    """What reading a file brings to light beside the strategy itself."""

    problems: list[Problem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wrong(self, path: Loc, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint))


@dataclass
class Shaped:
    """A section in the schema's form, from the file's `base`; `origin` holds the places that stood elsewhere."""

    base: Loc
    data: dict[str, object] = field(default_factory=dict)
    origin: dict[Loc, Loc] = field(default_factory=dict)

    def path_of(self, loc: Loc) -> Loc:
        """Where `loc` of the section stood in the file."""
        for end in range(len(loc), 0, -1):
            if loc[:end] in self.origin:
                return self.origin[loc[:end]] + loc[end:]
        return self.base + loc


def mapping_at(value: object, path: Loc, findings: Findings, example: str = "key: value") -> dict[str, object]:
    """The mapping, or an empty one after saying that there is none."""
    if isinstance(value, dict):
        return value
    findings.wrong(path, f"is {shorten(value)}, which is not a mapping", f"write {example} below it")
    return {}


def drop_ignored(section: Mapping[str, object], path: Loc, findings: Findings) -> dict[str, object]:
    """The section without the keys that change nothing here; each is told."""
    ignored = IGNORED_KEYS.get(path, ())
    findings.ignored += [dotted((*path, key)) for key in section if key in ignored]
    return {key: value for key, value in section.items() if key not in ignored}


def refuse_unknown(given: Mapping[str, object], known: tuple[str, ...], path: Loc, findings: Findings) -> None:
    """Say of every key that is not known which known one is nearest."""
    for key in given:
        if key not in known:
            findings.wrong((*path, key), "is not a key of the grammar here", nearest(key, known))


def training_data(raw: object, training_range: object, findings: Findings) -> Shaped:
    """`training_range` is a date_range found under training, where some files have it."""
    path: Loc = ("training_data",)
    section = mapping_at(raw, path, findings, "symbols, timeframes")
    shaped = Shaped(path)
    known = (*TrainingData.model_fields, "date_range")
    refuse_unknown(section, tuple(k for k in known if k != "base_timeframe"), path, findings)
    symbols = _several(section.get("symbols"), (*path, "symbols"), ("symbol", "list", "symbols"), shaped, findings)
    frames_path: Loc = (*path, "timeframes")
    frames = _several(section.get("timeframes"), frames_path, ("timeframe", "list", "timeframes"), shaped, findings)
    shaped.data |= {"symbols": symbols, "timeframes": frames}
    block = section.get("timeframes")
    base = block.get("base_timeframe") if isinstance(block, dict) else None
    if base is None and frames:
        base = frames[0]
        if len(frames) > 1:
            findings.notes.append(
                f"training_data.timeframes names no base_timeframe: {shorten(base)}, the first, is it"
            )
    shaped.data["base_timeframe"] = base
    given = isinstance(block, dict) and block.get("base_timeframe") is not None
    shaped.origin["base_timeframe",] = (*frames_path, "base_timeframe") if given else shaped.path_of(("timeframes", 0))
    if section.get("history_required") is not None:
        shaped.data["history_required"] = section["history_required"]
    _days(section, training_range, shaped, findings)
    return shaped


def _several(value: object, path: Loc, names: tuple[str, str, str], shaped: Shaped, findings: Findings) -> list[object]:
    """Symbols or timeframes: a word, a list, or a mapping with a mode and one of three keys."""
    one, section = names[0], str(path[-1])
    if isinstance(value, dict):
        known = ("mode", *names, *(("base_timeframe",) if one == "timeframe" else ()))
        refuse_unknown(value, known, path, findings)
        given = [name for name in names if value.get(name) is not None]
        mode = value.get("mode")
        at: Loc = (*path, given[0]) if given else path
        found = value[given[0]] if given else None
        if len({str(_listed(value[name])) for name in given}) > 1:
            findings.wrong((*path, given[1]), f"says otherwise than {given[0]}", "keep one of them")
    else:
        mode, at, found = None, path, value
    if found is None:
        findings.wrong(
            path, "is missing" if value is None else f"names no {one}", f"such as {{mode: single, {one}: ...}}"
        )
        return []
    entries = _listed(found)
    for position in range(len(entries)):
        shaped.origin[section, position] = (*at, position) if isinstance(found, list) else at
    shaped.origin[section,] = at
    _check_mode(mode, f"multi_{one}", len(entries), (*path, "mode"), findings)
    return entries


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _check_mode(mode: object, multiple: str, count: int, path: Loc, findings: Findings) -> None:
    if mode is None:
        return
    word = str(mode).strip().lower()
    if word not in ("single", multiple):
        findings.wrong(path, f"is {shorten(mode)!r}", nearest(word, ("single", multiple)))
    elif word == "single" and count > 1:
        findings.wrong(path, f"is single, but {count} are listed", f"{multiple}, or list one")


def _days(section: Mapping[str, object], elsewhere: object, shaped: Shaped, findings: Findings) -> None:
    path: Loc = ("training_data",)
    for place, value in (((*path, "date_range"), section.get("date_range")), (("training", "date_range"), elsewhere)):
        if value is None:
            continue
        span = mapping_at(value, place, findings, "start, end")
        refuse_unknown(span, ("start", "end"), place, findings)
        for key, name in (("start", "start_date"), ("end", "end_date")):
            direct = section.get(name, shaped.data.get(name))
            if direct is not None and span.get(key) not in (None, direct):
                findings.notes.append(f"{dotted((*place, key))} is not used: another {name} is given and wins")
            elif direct is None and span.get(key) is not None:
                shaped.data[name] = span[key]
                shaped.origin[name,] = (*place, key)
    for name in ("start_date", "end_date"):
        if section.get(name) is not None:
            shaped.data[name] = section[name]


def context_series(raw: object, position: int, findings: Findings) -> Shaped:
    """An entry of context_data. What a provider may need beyond the known keys is accepted and told."""
    path: Loc = ("context_data", position)
    section = mapping_at(raw, path, findings, "provider: NAME")
    known = {key: value for key, value in section.items() if key in ContextSeries.model_fields and value is not None}
    findings.ignored += [dotted((*path, key)) for key in section if key not in ContextSeries.model_fields]
    if "series" in known:
        known["series"] = _listed(known["series"])
    return Shaped(path, known)


def indicator_parameters(
    raw: Mapping[str, object], kind: IndicatorType, path: Loc, findings: Findings
) -> dict[str, object]:
    """The parameters of an indicator, without a `source` where it reads fixed columns; that is told."""
    given = {key: value for key, value in raw.items() if key not in ("type", "data_source") and value is not None}
    if "source" in given and given["source"] in PRICE_COLUMNS and all(p.name != "source" for p in kind.parameters):
        findings.ignored.append(dotted((*path, "source")))
        del given["source"]
    return given


def fuzzy_set(raw: object, set_id: str, findings: Findings) -> Shaped:
    path: Loc = ("fuzzy_sets", set_id)
    section = mapping_at(raw, path, findings, "indicator: ID, low: [a, b, c]")
    shaped = Shaped(path, {"id": set_id})
    shaped.origin["id",] = path
    _reference(section, "indicator", shaped)
    if section.get("input_transform") is not None:
        shaped.data["input_transform"] = section["input_transform"]
    members: list[object] = []
    for name, value in section.items():
        if name in FUZZY_SET_KEYS:
            continue
        place: Loc = (*path, name)
        shaped.origin["memberships", len(members)] = place
        if isinstance(value, list):
            shaped.origin["memberships", len(members), "parameters"] = place
            if len(value) != 3:
                hint = "[a, b, c] is a triangle; other shapes are {type: trapezoidal, parameters: [a, b, c, d]}"
                findings.wrong(place, f"is a list of {len(value)}", hint)
            members.append({"name": name, "type": "triangular", "parameters": value})
        elif isinstance(value, dict):
            members.append({"name": name} | {k: v for k, v in value.items() if k != "name"})
            if "name" in value:
                findings.wrong((*place, "name"), "is not a key of the grammar here", "the key above is the name")
        else:
            close = nearest(name, FUZZY_SET_KEYS)
            hint = close if close.startswith("did") else "a membership is [a, b, c]"
            findings.wrong(place, f"is {shorten(value)}, which is no membership", hint)
    if not members and section and not findings_at(findings, path):
        findings.wrong(path, "has no members", "at least one, such as low: [20, 30, 40]")
    shaped.data["memberships"] = members
    return shaped


def findings_at(findings: Findings, path: Loc) -> bool:
    """Whether something at or below the path is known to be wrong."""
    return any(problem.path[: len(path)] == path for problem in findings.problems)


def _reference(section: Mapping[str, object], key: str, shaped: Shaped) -> None:
    """`adx_14.plus_di` as indicator and output."""
    value = section.get(key)
    if value is None:
        shaped.origin["indicator",] = (*shaped.base, key)
        return
    name, dot, output = str(value).partition(".") if isinstance(value, str) else (value, "", "")
    shaped.data["indicator"] = name
    if dot:
        shaped.data["output"] = output
    shaped.origin["indicator",] = shaped.origin["output",] = (*shaped.base, key)


def network_input(raw: object, position: int, findings: Findings) -> Shaped:
    """An entry of nn_inputs, with `kind` set by which of fuzzy_set and raw_indicator it has."""
    path: Loc = ("nn_inputs", position)
    section = mapping_at(raw, path, findings, "fuzzy_set: ID")
    shaped = Shaped(path)
    known = ("fuzzy_set", "raw_indicator", "timeframes", "normalization")
    refuse_unknown(section, known, path, findings)
    if ("fuzzy_set" in section) == ("raw_indicator" in section):
        if section:
            findings.wrong(path, "needs either fuzzy_set or raw_indicator", "one of the two, for each entry")
        return shaped
    if "raw_indicator" in section:
        shaped.data["kind"] = "raw"
        _reference(section, "raw_indicator", shaped)
        if section.get("normalization") is not None:
            shaped.data["normalization"] = section["normalization"]
    else:
        shaped.data |= {"kind": "fuzzy", "fuzzy_set": section["fuzzy_set"]}
        if section.get("normalization") is not None and str(section["normalization"]).lower() != "none":
            findings.wrong(
                (*path, "normalization"), "is for raw_indicator alone", "memberships are between 0 and 1 already"
            )
    frames = section.get("timeframes")
    if frames is not None and str(frames).strip().lower() != "all":
        shaped.data["timeframes"] = _listed(frames)
        if frames == []:
            findings.wrong((*path, "timeframes"), "is an empty list", "all, or a list of timeframes")
    return shaped
