"""Whether this process writes traces: by the standard OTEL_* variables, which OpenTelemetry's SDK reads itself.

With none of them set nothing of the SDK is imported, and nothing exported or said.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observability.spans import Tracing

_ON = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
_PROTOCOL = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"


def tracing(patience: float | None = None, environment: Mapping[str, str] = os.environ) -> "Tracing | None":
    """The process's tracing, where the variables ask for it; for the caller to close.

    patience: seconds that a batch is tried to be sent for at the most; None: as the variables say, or 10.
    Raises ValueError, as `wanted`.
    """
    if not wanted(environment):
        return None
    from observability.spans import exporting

    return exporting(environment, patience)


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces. Raises ValueError where they ask for what is not here."""
    said = {name: environment.get(name, "").strip() for name in (*_ON, *_PROTOCOL, "OTEL_SDK_DISABLED")}
    exporter = said["OTEL_TRACES_EXPORTER"]
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
