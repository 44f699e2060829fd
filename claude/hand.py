"""Whether a worker has Claude at hand. Apart from the calls, whose SDK takes seconds to import: a worker without a key
never needs it.
"""

from typing import TYPE_CHECKING

from domain.errors import ErrorCode, ResearchError

if TYPE_CHECKING:
    from claude.call import Claude


def at_hand(claude: "Claude | None") -> "Claude":
    """The API, where this worker has a key for it. Errors: anthropic_auth."""
    if claude is None:
        raise ResearchError(
            ErrorCode.ANTHROPIC_AUTH,
            "This worker has no key for the API. Set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE for it, start it "
            "again, and then the cycle; or start the cycle with --designer offline.",
        )
    return claude
