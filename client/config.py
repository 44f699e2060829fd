"""What each setting is, and who said so. The sources are asked one by one, as the settings class itself asks them."""

import re
from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, Field, JsonValue
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, InitSettingsSource

from client.connection import DEFAULT_NAMESPACE, configured_address, read_running_note, target
from domain.results import Frozen
from settings import Settings

MASK = "********"

_USER_OF_A_URL = re.compile(r"(://).*@", re.DOTALL)
_SECRET_OF_A_QUERY = re.compile(r"([?&][^=&]*(?:pass|token|key|secret|auth)[^=&]*=)[^&]*", re.IGNORECASE)


class Source(StrEnum):
    """Where a value came from; the first that names a setting decides. The last three: of the server alone, where no
    setting names it, a profile of Temporal's configuration or the note of a `research dev` on this home.
    """

    FLAG = "flag"
    ENVIRONMENT = "environment"
    ENV_FILE = ".env"
    PROJECT_FILE = "research.toml"
    TEMPORAL_PROFILE = "temporal profile"
    RESEARCH_DEV = "research dev"
    DEFAULT = "default"


class Held(Frozen):
    """One setting: its name in research.toml, its environment variable, the value that holds, and who said so."""

    name: str
    variable: str
    value: JsonValue = Field(description="as JSON has it; a secret masked")
    source: Source


def held(settings: Settings, flags: Mapping[str, object]) -> list[Held]:
    """Every setting in the order of the class, a row of the policy table as one setting for each of its columns.

    flags: what the settings were made with by name, beside the environment and the files.
    """
    said = _said(settings, flags)
    values: dict[str, JsonValue] = settings.model_dump(mode="json")
    values |= {
        "database_url": settings.store_url,
        "strategies_dir": str(settings.strategies),
        "metrics_address": settings.metrics_address or "off",
    }
    found: list[Held] = []
    for name, field in type(settings).model_fields.items():
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else f"{settings.model_config['env_prefix']}{name.upper()}"
        keys = [alias, name] if isinstance(alias, str) else [name]
        values[name] = masked(values[name])
        found += _leaves(getattr(settings, name), values[name], (name,), variable, said, keys)
    return _with_the_server(found, settings)


def masked(value: JsonValue) -> JsonValue:
    """An address without the name and password that somebody may have written into it."""
    if not isinstance(value, str) or "://" not in value:
        return value
    return _SECRET_OF_A_QUERY.sub(rf"\1{MASK}", _USER_OF_A_URL.sub(rf"\1{MASK}@", value))


def _said(settings: Settings, flags: Mapping[str, object]) -> list[tuple[Source, Mapping[str, object]]]:
    """What each source says, the first to decide first."""
    kind = type(settings)
    nothing = InitSettingsSource(kind, {})
    sources = kind.settings_customise_sources(
        kind, InitSettingsSource(kind, dict(flags)), EnvSettingsSource(kind), DotEnvSettingsSource(kind), nothing
    )
    named = (Source.FLAG, Source.ENVIRONMENT, Source.ENV_FILE, Source.PROJECT_FILE)
    return [(name, source()) for name, source in zip(named, sources, strict=True)]


def _leaves(
    value: object,
    shown: JsonValue,
    path: tuple[str, ...],
    variable: str,
    said: list[tuple[Source, Mapping[str, object]]],
    keys: list[str],
) -> list[Held]:
    if isinstance(value, BaseModel) and isinstance(shown, dict):
        return [
            leaf
            for name in type(value).model_fields
            for leaf in _leaves(
                getattr(value, name), shown[name], (*path, name), f"{variable}__{name.upper()}", said, keys
            )
        ]
    # A name that stands for another, its alias, is asked of every source before the name itself: so pydantic does.
    by = (source for key in keys for source, names in said if _names(names, (key, *path[1:])))
    return [Held(name=".".join(path), variable=variable, value=shown, source=next(by, Source.DEFAULT))]


def _names(said: object, path: tuple[str, ...]) -> bool:
    """Whether a source has a value at this path."""
    for part in path:
        if not isinstance(said, Mapping) or part not in said:
            return False
        said = said[part]
    return True


def _with_the_server(found: list[Held], settings: Settings) -> list[Held]:
    """With the server and the namespace that commands go to, also where no setting names them."""
    address, namespace = target(settings)
    if configured_address(settings):
        whose = Source.TEMPORAL_PROFILE
    else:
        whose = Source.RESEARCH_DEV if read_running_note(settings) else Source.DEFAULT
    profile = Source.DEFAULT if namespace == DEFAULT_NAMESPACE else Source.TEMPORAL_PROFILE
    unnamed = {"temporal_address": (address, whose), "temporal_namespace": (namespace, profile)}
    return [
        each.model_copy(update=dict(zip(("value", "source"), unnamed[each.name], strict=True)))
        if each.source is Source.DEFAULT and each.name in unnamed
        else each
        for each in found
    ]
