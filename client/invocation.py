"""What every command has at hand: the global options, the settings made of them, and the screen."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from client.exits import CommandError, ExitCode
from client.output import OutputFormat, Screen

if TYPE_CHECKING:
    from settings import Settings

GLOBAL_OPTIONS = ("-o", "--output", "--home", "--address", "--namespace", "--profile")


@dataclass(frozen=True)
class Invocation:
    """One call of the command."""

    screen: Screen = field(default_factory=Screen)
    home: Path | None = None
    address: str | None = None
    namespace: str | None = None
    profile: str | None = None

    @property
    def flags(self) -> dict[str, object]:
        """What the global options say of the settings, by their names; what was not given is not among them."""
        given = {
            "home": self.home.absolute() if self.home else None,
            "temporal_address": self.address,
            "temporal_namespace": self.namespace,
            "temporal_profile": self.profile,
        }
        return {name: value for name, value in given.items() if value is not None}

    def settings(self, **flags: object) -> "Settings":
        """The settings that hold for this call. A value that does not fit is a configuration error by name.

        flags: what the command's own options say of them, by their names; None is not said.
        """
        from settings import Settings

        given = {name: value for name, value in flags.items() if value is not None}
        try:
            return Settings.model_validate(self.flags | given)
        except (ValueError, OSError, RuntimeError) as error:
            # A ValidationError, a file or variable that is not even readable as TOML or JSON, or a folder that leads
            # nowhere: too long a name, a link to itself, the home of a user that there is not.
            raise CommandError(
                ExitCode.CONFIGURATION,
                "configuration",
                f"the settings do not hold: {problems(error)}",
                "correct the environment, .env or research.toml, then run the command again",
            ) from error


def invocation(ctx: typer.Context) -> Invocation:
    """The invocation that the command's callback has left in the context."""
    found = ctx.find_object(Invocation)
    if found is None:
        raise RuntimeError("a command was called without its invocation")
    return found


def hoist(argv: list[str]) -> list[str]:
    """The arguments with the global options first, so that they may stand after the command too."""
    front: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(argv):
        argument = argv[position]
        position += 1
        if argument == "--":
            rest += [argument, *argv[position:]]
            break
        if argument in GLOBAL_OPTIONS:
            if position == len(argv):
                raise CommandError(ExitCode.USAGE, "usage", f"the option {argument} needs a value")
            front += [argument, argv[position]]
            position += 1
        elif argument.startswith(tuple(f"{name}=" for name in GLOBAL_OPTIONS if name.startswith("--"))) or (
            argument.startswith("-o") and not argument.startswith("--")
        ):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def format_asked(argv: list[str]) -> OutputFormat:
    """The output format among the arguments, for errors that come before the arguments are parsed."""
    words = {format_.value: format_ for format_ in OutputFormat}
    for option, value in zip(["", *argv], [*argv, ""], strict=True):
        if option in ("-o", "--output") and value in words:
            return words[value]
        for prefix in ("--output=", "-o"):
            if value.startswith(prefix) and value.removeprefix(prefix) in words:
                return words[value.removeprefix(prefix)]
    return OutputFormat.TEXT


def problems(error: Exception) -> str:
    """A pydantic ValidationError in one line: each field and what is wrong with it."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    )
