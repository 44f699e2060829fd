"""The shapes of model, decisions and training; see `shapes`."""

from pydantic import BaseModel

from domain.grammar.learning import LOSSES_OF, PARAMETER_OF, Decisions, Mlp, Recurrent, Training, unused_parameters
from domain.grammar.shapes import Findings, Shaped, drop_ignored, mapping_at, refuse_unknown
from domain.grammar.values import Loc, nearest, shorten, to_flag

TRAINING_KEYS: tuple[str, ...] = (*Training.model_fields, "date_range", "method")

_BARRIERS = {
    "profit_target_atr": "pt_multiplier",
    "stop_loss_atr": "sl_multiplier",
    "max_holding_bars": "max_holding_period",
    "atr_period": "vol_span",
}


def model(raw: object, findings: Findings) -> tuple[Shaped, type[BaseModel] | None]:
    """The network and its class, or None for a type that does not exist."""
    path: Loc = ("model",)
    section = drop_ignored(mapping_at(raw, path, findings, "type, architecture"), path, findings)
    refuse_unknown(section, ("type", "architecture", "training", "features"), path, findings)
    kind = section.get("type")
    word = str(kind).strip().lower()
    shaped = Shaped((*path, "architecture"), {"type": word}, {("type",): (*path, "type")})
    if section.get("architecture") is None:
        findings.wrong((*path, "architecture"), "is missing", "such as {hidden_layers: [32, 16], dropout: 0.2}")
    else:
        architecture = mapping_at(section["architecture"], shaped.base, findings, "hidden_layers: [32, 16]")
        refuse_unknown({k: v for k, v in architecture.items() if k == "type"}, (), shaped.base, findings)
        shaped.data |= {k: v for k, v in architecture.items() if v is not None and k != "type"}
    classes: dict[str, type[BaseModel]] = {"mlp": Mlp, "lstm": Recurrent, "gru": Recurrent}
    if word not in classes:
        findings.wrong(
            (*path, "type"), "is missing" if kind is None else f"is {shorten(kind)!r}", nearest(word, classes)
        )
    return shaped, classes.get(word)


def decisions(raw: object, findings: Findings) -> Shaped:
    path: Loc = ("decisions",)
    section = drop_ignored(mapping_at(raw, path, findings), path, findings)
    return Shaped(path, {k: v for k, v in section.items() if v is not None or k not in Decisions.model_fields})


def training(raw: object, below_model: object, output_format: str, findings: Findings) -> Shaped:
    """Both places where training may stand, as one; what `training` says wins, and a conflict is told."""
    shaped = Shaped(("training",))
    inner: Loc = ("model", "training")
    first = drop_ignored(mapping_at(raw, ("training",), findings, "labels"), ("training",), findings)
    second = drop_ignored({} if below_model is None else mapping_at(below_model, inner, findings), inner, findings)
    for key, value in second.items():
        if value is None or key == "date_range":
            continue
        if first.get(key) is None:
            shaped.data[key] = value
            shaped.origin[key,] = (*inner, key)
        elif str(first[key]) != str(value):
            findings.notes.append(f"training.{shorten(key)} wins over another value in model.training.{shorten(key)}")
    shaped.data |= {k: v for k, v in first.items() if k != "date_range" and (v is not None or k not in TRAINING_KEYS)}
    _labels(shaped, findings)
    _schedule(shaped)
    _early_stopping(shaped, findings)
    if "loss" not in shaped.data:
        shaped.data["loss"] = LOSSES_OF["regression" if output_format == "regression" else "classification"][0]
    for parameter in sorted(unused_parameters(str(shaped.data["loss"]).strip().lower()) & shaped.data.keys()):
        findings.notes.append(f"training.{parameter} is not used: it belongs to loss {PARAMETER_OF[parameter]}")
    return shaped


def _labels(shaped: Shaped, findings: Findings) -> None:
    labels = shaped.data.get("labels")
    if not isinstance(labels, dict):
        return
    source = str(labels.get("source")).strip().lower()
    read = {key: value for key, value in labels.items() if value is not None}
    if "source" in read:
        read["source"] = source
    if source == "triple_barrier":
        for alias, name in _BARRIERS.items():
            place = shaped.path_of(("labels", alias))
            if alias in read and name in read:
                findings.wrong(place, f"is another name for {name}, which is given too", "keep one of the two")
            if alias in read:
                read.setdefault(name, read.pop(alias))
                shaped.origin["labels", name] = place
    shaped.data["labels"] = read


def _schedule(shaped: Shaped) -> None:
    schedule = shaped.data.get("lr_scheduler")
    if isinstance(schedule, dict):
        read = {key: value for key, value in schedule.items() if value is not None}
        if isinstance(read.get("type"), str):
            read["type"] = str(read["type"]).strip().lower()
        shaped.data["lr_scheduler"] = read
    elif _is_flag(schedule):
        if to_flag(schedule):
            shaped.data["lr_scheduler"] = {"type": "reduce_on_plateau"}
        else:
            del shaped.data["lr_scheduler"]


def _early_stopping(shaped: Shaped, findings: Findings) -> None:
    stopping = shaped.data.get("early_stopping")
    if _is_flag(stopping):
        stopping = {"enabled": stopping}
    if not isinstance(stopping, dict):
        return
    read = {key: value for key, value in stopping.items() if value is not None}
    enabled = read.pop("enabled", True)
    shaped.data["early_stopping"] = read
    if not _is_flag(enabled):
        place = (*shaped.path_of(("early_stopping",)), "enabled")
        findings.wrong(place, f"is {shorten(enabled)}, which is neither true nor false", "true or false")
    elif not to_flag(enabled):
        del shaped.data["early_stopping"]


def _is_flag(value: object) -> bool:
    try:
        to_flag(value)
    except ValueError:
        return False
    return True
