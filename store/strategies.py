"""Strategy files: YAML under one folder, written once and never changed.

A file is made under a name of its own, forced to the disk and then linked to its final name, which fails if that name
is taken: a reader sees a whole file or none, and two writers cannot overwrite each other.
"""

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from domain.cycle import StrategyRef
from domain.errors import ErrorCode, ResearchError
from domain.grammar.text import MAX_BYTES
from domain.results import Frozen
from domain.strategy import StrategyInvalid, load_strategy, strategy_hash

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SUFFIX = ".yaml"
_PARAMETERS = ".parameters"


class DesignFacts(Frozen):
    """What the store keeps of a strategy: its file, its canonical hash, and its designer's own parameters as JSON."""

    text: str
    strategy_hash: str
    parameters: str | None = None


@dataclass(frozen=True)
class StrategyFiles:
    """The strategies under one folder, which need not exist before the first is saved.

    Errors are ResearchErrors: invalid_strategy for a name, size or content that is not accepted, store_unavailable
    where the disk says no.
    """

    root: Path

    def save(self, name: str, text: str, parameters: str | None = None) -> StrategyRef:
        """Keep the text as `name`, or as `name_` and eight digits of its hash where the name has another content.

        The same name and text give the same reference again. `parameters` are the designer's own, for `facts`.
        """
        _checked_name(name)
        content = text.encode()
        if len(content) > MAX_BYTES:
            raise _invalid(f"the strategy {name} has {len(content)} bytes; {MAX_BYTES} are the most")
        sha256 = hashlib.sha256(content).hexdigest()
        # The longest name leaves room for the hash, so that the two forms never collide by cutting.
        longer = f"{name[:71]}_{sha256[:8]}"
        try:
            if parameters is not None:
                _link(self.root / _PARAMETERS / f"{sha256}.json", parameters.encode())
            for stem in (name, longer):
                if _link(self.root / f"{stem}{_SUFFIX}", content):
                    return StrategyRef(name=stem, sha256=sha256, path=f"{stem}{_SUFFIX}")
        except OSError as error:
            raise _unwritable(self.root, error) from error
        raise _invalid(f"the names {name} and {longer} are taken by other strategies; save it under another name")

    def read(self, ref: StrategyRef) -> str:
        """The text that the reference names. Errors: invalid_strategy if it is gone or is no longer that text."""
        content = self._content(self.root / ref.path)
        if hashlib.sha256(content).hexdigest() != ref.sha256:
            raise _invalid(
                f"the strategy file {self.root / ref.path} was changed since it was saved; save the new text under "
                "another name and start a new cycle with it"
            )
        return content.decode()

    def facts(self, ref: StrategyRef) -> DesignFacts:
        """The strategy with its canonical hash and its designer's parameters, for the store."""
        text = self.read(ref)
        try:
            known = strategy_hash(load_strategy(text).strategy)
        except StrategyInvalid as error:
            raise _invalid(f"the strategy {ref.name} is not valid: {error}") from error
        kept = self.root / _PARAMETERS / f"{ref.sha256}.json"
        try:
            parameters = kept.read_text() if kept.is_file() else None
        except OSError as error:
            raise _unwritable(self.root, error) from error
        return DesignFacts(text=text, strategy_hash=known, parameters=parameters)

    def list(self) -> tuple[StrategyRef, ...]:
        """All strategies that can be read, by name. Files whose name or size is not accepted are left out."""
        found = (self.find(path.stem) for path in sorted(self.root.glob(f"*{_SUFFIX}")) if _NAME.fullmatch(path.stem))
        return tuple(ref for ref in found if ref is not None)

    def find(self, name: str) -> StrategyRef | None:
        """The strategy of that name; None where there is none that can be read."""
        path = self.root / f"{_checked_name(name)}{_SUFFIX}"
        try:
            content = self._content(path)
        except ResearchError:
            return None
        return StrategyRef(name=name, sha256=hashlib.sha256(content).hexdigest(), path=path.name)

    def _content(self, path: Path) -> bytes:
        try:
            # A link inside the folder may point anywhere; what is read has to lie under the folder itself.
            real = path.resolve(strict=True)
            if not real.is_relative_to(self.root.resolve()):
                raise _invalid(f"the strategy file {path} leads out of {self.root}; put the file itself there")
            with real.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            content.decode()
        except FileNotFoundError as error:
            raise _invalid(
                f"there is no strategy file {path}; `research strategy list` shows those there are"
            ) from error
        except UnicodeDecodeError as error:
            raise _invalid(f"the strategy file {path} is not UTF-8 text") from error
        except OSError as error:
            raise _unwritable(self.root, error) from error
        if len(content) > MAX_BYTES:
            raise _invalid(f"the strategy file {path} is larger than {MAX_BYTES} bytes")
        return content


def _link(path: Path, content: bytes) -> bool:
    """Whether the path now holds the content, written just now or before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return path.is_file() and path.read_bytes() == content
        _sync_folder(path.parent)
    finally:
        Path(temporary).unlink()
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise _invalid(f"{name[:100]!r} is not a strategy's name: letters, digits, _ and -, up to 80 of them")
    return name


def _invalid(message: str) -> ResearchError:
    return ResearchError(ErrorCode.INVALID_STRATEGY, message)


def _unwritable(root: Path, error: OSError) -> ResearchError:
    return ResearchError(
        ErrorCode.STORE_UNAVAILABLE,
        f"the strategies in {root} could not be used: {error}. Check the path, the free space and the permissions",
    )
