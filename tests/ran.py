"""What a command left behind, for tests that run it as a person does."""

import json
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ran:
    """Exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Its answer; fails unless stdout is JSON and nothing else."""
        return json.loads(self.out)


Command = Callable[..., Ran]
