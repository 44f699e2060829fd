"""Where a job's files lie, and who may publish them.

Promise: `artifacts/<cycle>/<kind>-<hash>/` is either absent or whole, and never changes once it is there. It holds
although attempts overlap: a worker that was frozen or cut off may wake and go on writing while its job has long been
given to another. So

- an attempt writes into a folder of its own, `artifacts/<cycle>/.attempts/<kind>-<hash>-<token>/`;
- the fence `.attempts/<kind>-<hash>.current` names the newest attempt. An attempt that opens first sets the fence,
  then moves earlier attempts' folders aside: what a late writer still writes, it writes where nobody looks;
- publishing is one rename, of a folder whose bytes are on the disk, by the attempt that the fence names. Where a
  result is already published the rename fails, and that result is the answer: equal jobs have equal results.

An attempt that was overtaken between its look at the fence and its rename publishes a result that is just as right.
"""

import contextlib
import errno
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from domain.results import Frozen

logger = logging.getLogger(__name__)

RESULT = "result.json"
CHECKPOINTS = "checkpoint-[0-9]*"
"""The files that say that a checkpoint is there; each has its name when it is whole."""

ABANDONED_AFTER = timedelta(days=7)
"""After so long without a change nobody comes back to an attempt."""

_ATTEMPTS = ".attempts"
_ASIDE = ".aside"

R = TypeVar("R", bound=Frozen)


class Kind(StrEnum):
    """What a job does; the first word of its folder."""

    TRAINING = "training"
    BACKTEST = "backtest"


class Superseded(Exception):
    """Another attempt at the same job has begun since; this one may not publish."""


class Unreadable(Exception):
    """A published result is not what was published: somebody or something changed it afterwards."""


@dataclass(frozen=True)
class JobFiles:
    """The files of one job. The hash names the job and everything that its result depends on."""

    artifacts: Path
    cycle_id: str
    kind: Kind
    hash: str

    @property
    def final(self) -> PurePosixPath:
        """The published folder, relative to the artifacts."""
        return PurePosixPath(self.cycle_id) / self._name

    def published(self, result_type: type[R]) -> R | None:
        """The result, where the job is done. Errors: Unreadable, OSError."""
        path = self.artifacts / self.final / RESULT
        try:
            return result_type.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            if path.parent.exists():
                raise Unreadable(f"{path} is missing") from None
            return None
        except ValidationError as error:
            raise Unreadable(f"{path} is damaged: {error.errors()[0]['msg']}") from None

    def open_attempt(self) -> "Attempt":
        """Begin an attempt that from now on is the current one. Errors: Superseded, OSError."""
        token = secrets.token_hex(6)
        self._attempts.mkdir(parents=True, exist_ok=True)
        self._fence.with_suffix(f".{token}").write_text(token)
        self._fence.with_suffix(f".{token}").replace(self._fence)
        # The fence before the folder: whoever cleans up after publishing lists first and reads the fence then.
        for folder in self._folders():
            if folder.suffix != _ASIDE:
                if not self.is_current(token):
                    raise Superseded
                _move_aside(folder)
        resume_from = max(self._folders(), key=_checkpointed_at, default=None)
        if resume_from is not None and not _checkpointed_at(resume_from):
            resume_from = None
        attempt = Attempt(self, token, resume_from)
        attempt.folder.mkdir()
        return attempt

    def is_current(self, token: str) -> bool:
        """Whether no attempt was opened after the one with this token."""
        return self._fence.read_text() == token

    def clean_up(self) -> None:
        """Delete the folders of attempts, except the current one's. Safe at any time: nobody reads the others."""
        folders = list(self._folders())
        token = self._fence.read_text()
        for folder in folders:
            if folder.name != f"{self._name}-{token}":
                shutil.rmtree(folder, ignore_errors=True)  # a late writer may be adding files to it

    @property
    def _name(self) -> str:
        return f"{self.kind}-{self.hash[:12]}"

    @property
    def _attempts(self) -> Path:
        return self.artifacts / self.cycle_id / _ATTEMPTS

    @property
    def _fence(self) -> Path:
        return self._attempts / f"{self._name}.current"

    def _folders(self) -> Iterable[Path]:
        return list(self._attempts.glob(f"{self._name}-*"))


@dataclass(frozen=True)
class Attempt:
    """One attempt at a job: its folder, and the folder of an earlier one that left a checkpoint."""

    job: JobFiles
    token: str
    resume_from: Path | None

    @property
    def folder(self) -> Path:
        """Where this attempt writes."""
        return self.job._attempts / f"{self.job._name}-{self.token}"

    @property
    def is_current(self) -> bool:
        """Whether no later attempt has begun."""
        return self.job.is_current(self.token)

    def publish(self, result: R) -> R:
        """Make the folder and its result the job's own; give back the published result, an earlier one if there is one.

        Errors: Superseded, Unreadable, OSError.
        """
        (self.folder / RESULT).write_text(result.model_dump_json(indent=2) + "\n")
        for path in (*self.folder.rglob("*"), self.folder):
            _sync(path)
        if self.is_current:
            target = self.job.artifacts / self.job.final
            # Last of all, when the result is on the disk: until then a next attempt would go on from the checkpoint.
            for checkpoint in self.folder.glob("checkpoint-*"):
                checkpoint.unlink()
            _sync(self.folder)
            try:
                self.folder.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            _sync(target.parent)
        published = self.job.published(type(result))
        if published is None:
            raise Superseded
        self.job.clean_up()
        return published


def remove_abandoned(artifacts: Path, older_than: timedelta = ABANDONED_AFTER) -> None:
    """Delete the attempts of cycles in which no attempt has begun or ended for so long: they failed or were cancelled.

    Results stay. Best effort: what cannot be deleted is told in the log and left to the next time.
    """
    before = time.time() - older_than.total_seconds()
    for folder in artifacts.glob(f"*/{_ATTEMPTS}"):
        try:
            if _last_change(folder) < before:
                shutil.rmtree(folder)
        except FileNotFoundError:
            continue  # another worker that starts at the same moment deletes it
        except OSError as error:
            logger.warning("the abandoned attempts in %s could not be deleted: %s", folder, error)


def _last_change(attempts: Path) -> float:
    """When an attempt or its checkpoint was last written below the folder, in seconds."""
    return max(path.stat().st_mtime for path in (attempts, *attempts.iterdir()))


def _move_aside(folder: Path) -> None:
    try:
        folder.rename(folder.with_name(folder.name + _ASIDE))
    except FileNotFoundError:
        return  # another attempt that opens at the same moment did it


def _checkpointed_at(folder: Path) -> float:
    """When the folder's checkpoint was written, in seconds; 0 without one."""
    newest = 0.0
    for checkpoint in folder.glob(CHECKPOINTS):
        with contextlib.suppress(FileNotFoundError):  # a late writer goes on to the next
            newest = max(newest, checkpoint.stat().st_mtime)
    return newest


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
