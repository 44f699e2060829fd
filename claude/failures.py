"""What a call's failure means: a code, whether anything can have been billed, when it may be tried again.

Two things prove that nothing was billed: a connection that never was, and a complete error body of the API in the place
of an answer. After everything else the request may have been worked on.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import anthropic
import httpx2
from anthropic import APIConnectionError, APIStatusError

from domain.errors import ErrorCode, ResearchError

LONGEST_WAIT = timedelta(hours=6)
"""An answer that names a later time is taken for this: a cycle does not wait longer for one turn."""

MAX_WORDS = 500
"""Characters of the API's own words in our messages."""

_AGAIN_LATER = "It is asked again; see status.claude.com if that lasts."
_CHARGED = "It may have been billed, so its ceiling is charged. If it goes on so, see status.claude.com."

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

_SPEND_LIMITS = frozenset({"enforced_spend_limit_reached", "contract_spend_limit_reached"})
_OWN_LIMIT = ("specified api usage limits", "specified workspace api usage limits")
"""How the 400 for a limit that the account's owner has set begins; it has no code of its own."""

_AGAIN = frozenset({408, 409, 529})
_REFUSED = frozenset({400, 401, 402, 403, 404, 405, 407, 413, 414, 415, 422, 431})
"""Refusals of the request as it is, which prove by themselves that it was not worked on, whoever gives them."""


def refusal(error: APIStatusError) -> ResearchError:
    """Of an error that came in the place of an answer."""
    status, told = error.status_code, _from_api(error.body)
    words = _words(error)
    if not told and status >= 400 and status not in _REFUSED:
        return lost(f"the API's address answered {status} without the API's own error: {words}")
    if _is_spend_limit(error):
        return ResearchError(
            ErrorCode.ANTHROPIC_SPEND_LIMIT,
            f"The account's spend limit is reached: {words}. Raise it in the Claude Console, or wait until it is "
            "reset, and start the cycle again.",
        )
    if status == 429:
        return ResearchError(
            ErrorCode.ANTHROPIC_RATE_LIMITED,
            f"The API limits the rate: {words}. It is asked again when it allows it; fewer cycles at once help.",
            _wait(error),
        )
    if status >= 500 or status in _AGAIN:
        return ResearchError(
            ErrorCode.ANTHROPIC_ERROR, f"The API answered {status}: {words}. {_AGAIN_LATER}", _wait(error)
        )
    if status in (401, 403, 407):
        return ResearchError(
            ErrorCode.ANTHROPIC_AUTH,
            f"The API does not accept the key, or not for this: {words}. Check ANTHROPIC_API_KEY and what the key may "
            "do, and start the cycle again.",
        )
    return ResearchError(
        ErrorCode.ANTHROPIC_REQUEST,
        f"The API refuses the request ({status}): {words}. Check the model's name, and start the cycle again.",
    )


def broken(error: APIConnectionError) -> ResearchError:
    """Of a connection that broke before an answer began, or never was."""
    cause = error.__cause__
    what = f"{type(cause).__name__}: {cause}" if cause else str(error)
    if isinstance(cause, _NEVER_SENT):
        return ResearchError(
            ErrorCode.ANTHROPIC_ERROR,
            f"The API could not be reached at {error.request.url.netloc.decode()}: {what[:MAX_WORDS]}. It is asked "
            "again; check the network and ANTHROPIC_BASE_URL if that lasts.",
        )
    if isinstance(error, anthropic.APITimeoutError):
        return late("the API took the request, and did not answer in time")
    return lost(f"the connection broke before an answer: {what[:MAX_WORDS]}")


def lost(what: str) -> ResearchError:
    """Of a request that may have been billed, and whose answer is not known."""
    return ResearchError(ErrorCode.ANSWER_LOST, f"The answer was lost: {what}. {_CHARGED}")


def late(what: str) -> ResearchError:
    """Of the same, for want of time."""
    return ResearchError(ErrorCode.ANTHROPIC_TIMEOUT, f"No answer from Claude: {what}. {_CHARGED}")


def free(error: ResearchError) -> ResearchError:
    """The same of a request that is never billed, whatever became of it."""
    if error.code in (ErrorCode.ANSWER_LOST, ErrorCode.ANTHROPIC_TIMEOUT):
        what = error.message.removesuffix(_CHARGED)
        return ResearchError(ErrorCode.ANTHROPIC_ERROR, f"The prompt could not be counted. {what}{_AGAIN_LATER}")
    return error


def _from_api(body: object) -> bool:
    if not isinstance(body, Mapping) or body.get("type") != "error":
        return False
    error = body.get("error")
    return isinstance(error, Mapping) and isinstance(error.get("type"), str)


def _is_spend_limit(error: APIStatusError) -> bool:
    if error.status_code == 402:
        return True
    if error.status_code == 429:
        return error.error_code in _SPEND_LIMITS
    return error.status_code == 400 and any(words in _message(error).lower() for words in _OWN_LIMIT)


def _wait(error: APIStatusError) -> timedelta | None:
    """What `retry-after-ms` or `retry-after` say: milliseconds, seconds, or a date."""
    headers = error.response.headers
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return _bounded(float(milliseconds) / 1000)
        after = headers.get("retry-after", "")
        if after.replace(".", "", 1).isdigit():
            return _bounded(float(after))
        return _bounded((parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()) if after else None
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float) -> timedelta | None:
    return timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds())) if seconds > 0 else None


def _message(error: APIStatusError) -> str:
    return error.api_message if isinstance(error.api_message, str) else error.message


def _words(error: APIStatusError) -> str:
    request = f" (request {error.request_id[:80]})" if error.request_id else ""
    return " ".join(_message(error).split())[:MAX_WORDS] + request
