"""Whether this process writes traces: by the standard OTEL_* variables, which OpenTelemetry's SDK reads itself.

With none of them set nothing of the SDK is imported, and nothing exported or said.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observability.spans import Tracing

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_ON = (*_ENDPOINTS, "OTEL_TRACES_EXPORTER")
_PROTOCOL = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"


def tracing(patience: float | None = None, environment: Mapping[str, str] = os.environ) -> "Tracing | None":
    """The process's tracing, where the variables ask for it; for the caller to close.

    patience: seconds that a batch is tried to be sent for at the most; None: as the variables say, or 10.
    Raises ValueError, as `wanted`, and for values that can't be used.
    """
    if not wanted(environment):
        return None
    from observability.spans import exporting

    _check_endpoints(environment)
    delay = _delay(environment)
    try:
        return exporting(delay, patience)
    except ValueError as error:
        raise ValueError(f"OpenTelemetry cannot use its OTEL_* variables: {error}") from error


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces. Raises ValueError where they ask for what is not here."""
    said = {name: environment.get(name, "").strip() for name in (*_ON, *_PROTOCOL, "OTEL_SDK_DISABLED")}
    exporter = said["OTEL_TRACES_EXPORTER"].lower()
    if said["OTEL_SDK_DISABLED"].lower() == "true" or exporter == "none" or not any(said[name] for name in _ON):
        return False
    if exporter not in ("", "otlp"):
        raise ValueError(f"OTEL_TRACES_EXPORTER is {exporter!r}: traces go out by `otlp` alone, or not at all (`none`)")
    protocol = next((said[name] for name in _PROTOCOL if said[name]), _HTTP)
    if protocol != _HTTP:
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: traces go out by {_HTTP} alone. Unset it, and name an "
            "endpoint that takes that (by custom on port 4318)"
        )
    return True


def _check_endpoints(environment: Mapping[str, str]) -> None:
    for name in _ENDPOINTS:
        value = environment.get(name, "").strip()
        if value and not value.lower().startswith(("http://", "https://")):
            # Without the value, which may be a secret.
            raise ValueError(f"{name} is no address: write it with http:// or https://, as http://127.0.0.1:4318")


def _delay(environment: Mapping[str, str]) -> float | None:
    value = environment.get("OTEL_BSP_SCHEDULE_DELAY", "").strip()
    if not value:
        return None
    if not value.isdecimal() or not int(value):
        raise ValueError(f"OTEL_BSP_SCHEDULE_DELAY is {value!r:.40}: write milliseconds, as 1000")
    return float(value)
