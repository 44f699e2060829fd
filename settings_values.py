"""What a single setting's value has to be, told in words that never repeat a value which may be a secret."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_core import PydanticCustomError

LONGEST_KEY_FILE = 10_000
"""Bytes. A longer file is not one that holds a key."""

SHORTEST_TOKEN, LONGEST_TOKEN = 16, 1_000
TO_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'


def refused(why: str) -> PydanticCustomError:
    """A value that does not fit, in these very words; pydantic says "Value error, " before those of a ValueError."""
    return PydanticCustomError("setting", "{why}", {"why": why})


def is_address(value: str) -> bool:
    """Whether it is host:port."""
    host, _, port = value.rpartition(":")
    return bool(host) and port.isdecimal() and int(port) <= 65535


def content_of(file: object) -> object:
    """What stands in the file of that name, without the blanks around it; never repeated in an error."""
    if not isinstance(file, str | Path):
        return file
    try:
        with Path(file).expanduser().open("rb") as opened:
            content = opened.read(LONGEST_KEY_FILE + 1)
    except (OSError, ValueError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise refused(f"the file cannot be read: {why or 'its name is none'}") from None
    if len(content) > LONGEST_KEY_FILE:
        raise refused(f"the file is longer than {LONGEST_KEY_FILE:,} bytes, and should hold the key alone")
    return content.decode(errors="replace").strip()


class _Url(Protocol):
    @property
    def host(self) -> str: ...


def check_address(
    whose: str, value: str, read: Callable[[str], _Url], invalid: type[Exception], instead_of_a_password: str
) -> None:
    """Raise where the value is no plain address, by the reading of the client that will use it. The value is never
    repeated in an error: somebody may have put a password into it.
    """
    try:
        url = urlsplit(value)
        fits = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and bool(read(value).host)
    except (ValueError, invalid):
        fits = False
    if not fits or not value.isprintable() or " " in value:
        raise refused(f"give the {whose}'s address as http://HOST:PORT or https://HOST")
    if url.username is not None or url.password is not None:
        raise refused(f"take the name and password out of it: {instead_of_a_password}")
    if url.query or url.fragment:
        raise refused("give it without ? and #")


def check_key(value: SecretStr) -> None:
    """Raise where a header could not carry it as a key."""
    if not value.get_secret_value():
        raise refused("there is nothing in it")
    if not all("!" <= character <= "~" for character in value.get_secret_value()):
        raise refused("it has characters that no key has: a key is ASCII on one line, without spaces")


def check_token(value: SecretStr) -> None:
    """Raise where it could not be sent, or could be guessed."""
    token = value.get_secret_value()
    if not all("!" <= character <= "~" for character in token):
        raise refused("it has characters that cannot be sent: a token is ASCII on one line, without spaces")
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise refused(f"a token has {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters: {TO_MAKE_ONE} makes one")
