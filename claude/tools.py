"""Tools as pydantic models: the strict schema that the API is told, and the check of what a model sends.

The API holds a model to the schema's shape, but takes no bounds in it (lengths, ranges, patterns): those are said in
words, and checked here. What does not fit is told back in words and never raises.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints, ValidationError

from claude.desk import Outcome, Tool
from claude.quoting import cut, inline

MAX_TEXT = 8_000
"""Bytes of what a tool answers."""

_BOUNDS = ("minLength", "maxLength", "minimum", "maximum", "pattern", "minItems", "maxItems")
_KEPT = ("type", "enum", "const", "description")
_MOST_ERRORS = 20


class Arguments(BaseModel):
    """The arguments of a tool: every one is required, and there are no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


A = TypeVar("A", bound=Arguments)

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=600)]
"""A sentence or two, without the blanks around it."""


def tool(name: str, description: str, arguments: type[Arguments]) -> Tool:
    """The tool with the strict schema of its arguments."""
    schema = arguments.model_json_schema()
    return Tool(name=name, description=description, input_schema=_strict(schema, schema.get("$defs", {})))


def read_arguments(kind: type[A], arguments: JsonValue) -> A | Outcome:
    """The arguments, or what is wrong with them."""
    try:
        return kind.model_validate(arguments)
    except ValidationError as error:
        # Entries of pydantic quote what was sent; a lone surrogate in it could not even be encoded.
        found = error.errors(include_url=False, include_input=False)
        lines = [f"- {_place(each['loc'])}: {inline(each['msg'], 300)}" for each in found[:_MOST_ERRORS]]
        return failure("\n".join(["The arguments do not fit:", *lines]))


def failure(text: str) -> Outcome:
    """What went wrong, for the model to mend."""
    return Outcome(text=cut(text, MAX_TEXT), is_error=True)


def success(text: str) -> Outcome:
    """What was asked for."""
    return Outcome(text=cut(text, MAX_TEXT))


def _place(path: tuple[int | str, ...]) -> str:
    return inline(".".join(str(step) for step in path), 100) or "arguments"


def _strict(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, JsonValue]:
    if "$ref" in schema:
        named = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return _strict({**named, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    strict: dict[str, JsonValue] = {key: schema[key] for key in _KEPT if key in schema}
    bounds = ", ".join(f"{key} {schema[key]}" for key in _BOUNDS if key in schema)
    if bounds:
        strict["description"] = " ".join(filter(None, (schema.get("description"), f"({bounds})")))
    if "anyOf" in schema:
        strict["anyOf"] = [_strict(each, definitions) for each in schema["anyOf"]]
    if "items" in schema:
        strict["items"] = _strict(schema["items"], definitions)
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        strict.pop("description", None)  # the docstring of a model of ours, which says nothing to the reader
        strict["properties"] = {key: _strict(each, definitions) for key, each in properties.items()}
        strict["required"] = list(properties)
        strict["additionalProperties"] = False
    return strict
