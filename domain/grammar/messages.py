"""pydantic's errors in the words of someone who mends a YAML file at night."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from domain.grammar.values import MAX_NAME_LENGTH, Loc, Problem, nearest, shorten

_DISCRIMINATED = ("labels", "lr_scheduler")
_PATTERNS = {
    "name": f"letters, digits, _ and -, up to {MAX_NAME_LENGTH} characters: it becomes a file name",
    "version": "3.0",
    "symbols": "letters and digits, such as EURUSD",
    "symbol": "letters and digits, such as EURUSD",
}
_ID_PATTERN = "letters, digits, _ and -, up to 64 characters"
_EXAMPLES = {
    "hidden_layers": "such as [32, 16]",
    "labels": "such as {source: zigzag, zigzag_threshold: 0.02, label_lookahead: 20}",
    "name": "such as rsi_reversal_v1",
    "round_trip_cost": "such as 0.0002",
}
_UNITS = {
    "zigzag_threshold": "a fraction: 0.02 is 2 %",
    "round_trip_cost": "a fraction: 0.0002 is 0.02 %",
    "confidence_threshold": "a probability",
}


def explain(
    error: ValidationError, model: type[BaseModel], path_of: Callable[[Loc], Loc], extra: tuple[str, ...] = ()
) -> Iterator[Problem]:
    """A problem for each of the error's entries. `path_of` gives the file's path of a place in the model; `extra`
    are keys that the file may have beyond the model's own.
    """
    entries = error.errors(include_url=False)
    with_wrong_entry = {details["loc"][:-1] for details in entries}
    for details in entries:
        # pydantic counts an entry that is wrong as missing, and so calls its list too short as well.
        if details["type"] != "too_short" or details["loc"] not in with_wrong_entry:
            yield _problem(details, model, path_of, extra)


def _problem(
    details: ErrorDetails, model: type[BaseModel], path_of: Callable[[Loc], Loc], extra: tuple[str, ...]
) -> Problem:
    loc: Loc = details["loc"]
    models, field = _walk(model, loc)
    kind, given = details["type"], details["input"]
    context: Mapping[str, Any] = details.get("ctx", {})
    plain = _without_tags(loc)
    name = next((step for step in reversed(plain) if isinstance(step, str)), "")
    message, hint = f"is {shorten(given)!r}", ""
    if kind == "missing":
        message, hint = "is missing", _EXAMPLES.get(name, "")
    elif kind == "extra_forbidden":
        known = [key for m in models for key in m.model_fields] + list(extra if len(plain) == 1 else ())
        message, hint = "is not a key of the grammar here", nearest(name, known)
    elif kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        message, hint = f"is {shorten(given)}", "; ".join(filter(None, (_bounds(field), _UNITS.get(name))))
    elif kind == "literal_error":
        hint = nearest(given, re.findall(r"'([^']*)'", str(context.get("expected", ""))))
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        discriminator = str(context["discriminator"]).strip("'")
        plain = (*plain, discriminator)
        tags = [tag for m in _models(field) for tag in get_args(m.model_fields[discriminator].annotation)]
        tag = context.get("tag")
        message = "is missing" if tag is None else f"is {shorten(tag)!r}"
        hint = f"one of {', '.join(tags)}" if tag is None else nearest(tag, tags)
    elif kind in ("too_long", "too_short"):
        count = context.get("actual_length")
        message = f"has {'too many' if count is None else count} entries"
        hint = f"at most {context['max_length']}" if kind == "too_long" else f"at least {context['min_length']}"
    elif kind == "string_pattern_mismatch":
        hint = _PATTERNS.get(name, _ID_PATTERN)
    elif kind in ("string_too_long", "string_too_short"):
        message = f"has {len(given)} characters"
        hint = f"at most {context['max_length']}" if kind == "string_too_long" else f"at least {context['min_length']}"
    elif kind == "string_type":
        message = f"is {shorten(given)}, which is not text"
    elif kind in ("tuple_type", "list_type"):
        message, hint = f"is {shorten(given)}, which is not a list", "write [a, b]"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        message, hint = f"is {shorten(given)}, which is not a mapping", "write key: value below it"
    elif kind.startswith("date") or kind == "iso_date":
        message, hint = f"is {shorten(given)!r}, which is not a date", "a day such as 2024-01-31"
    else:
        message, hint = details["msg"], str(context.get("hint", "")) or _bounds(field)
    return Problem(path_of(plain), message, hint)


def _without_tags(loc: Loc) -> Loc:
    """pydantic puts a union's tag between a field and what is below it; the file has no such level."""
    return (loc[0], *loc[2:]) if len(loc) > 1 and loc[0] in _DISCRIMINATED else loc


def _walk(model: type[BaseModel], loc: Loc) -> tuple[list[type[BaseModel]], object]:
    """The models that hold the last step of `loc`, and the annotation or field there."""
    models, here = [model], None
    found: object = None
    for position, step in enumerate(loc):
        fields = [m.model_fields[step] for m in models if isinstance(step, str) and step in m.model_fields]
        if fields:
            found = fields[0]
            if position < len(loc) - 1:
                models = _models(found) or models
        elif position and loc[position - 1] in _DISCRIMINATED:
            models = [m for m in models if step in _tags(m)] or models
        here = found
    return models, here


def _tags(model: type[BaseModel]) -> tuple[object, ...]:
    field = model.model_fields.get("source") or model.model_fields.get("type")
    return get_args(field.annotation) if field else ()


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, FieldInfo):
        return _models(annotation.annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) if get_origin(annotation) is not Literal for model in _models(part)]


def _constraints(annotation: object) -> Iterator[object]:
    if isinstance(annotation, FieldInfo):
        yield from annotation.metadata
        yield from _constraints(annotation.annotation)
    elif isinstance(annotation, Ge | Gt | Le | Lt):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _constraints(part)


def _bounds(annotation: object) -> str:
    """The bounds of a numeric field in words, or nothing where it has none."""
    if isinstance(annotation, FieldInfo) and annotation.annotation is bool:
        return "true or false"
    low = high = ""
    for constraint in _constraints(annotation):
        if isinstance(constraint, Ge):
            low = f"at least {constraint.ge}"
        elif isinstance(constraint, Gt):
            low = f"above {constraint.gt}"
        elif isinstance(constraint, Le):
            high = f"at most {constraint.le}"
        elif isinstance(constraint, Lt):
            high = f"below {constraint.lt}"
    return " and ".join(filter(None, (low, high)))
