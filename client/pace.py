"""How much longer the present phase takes, told from how fast its fraction has grown while somebody looked."""

from dataclasses import dataclass

from client.views import CycleView

LEAST_SECONDS, LEAST_GAIN = 2.0, 0.01
"""What has to be seen of an attempt before anything is said: less is noise."""


@dataclass
class Pace:
    """Remembers where an attempt was when it was first seen. A resumed one begins where its checkpoint was."""

    _attempt: tuple[object, ...] = ()
    _since: float = 0.0
    _from: float = 0.0

    def left(self, view: CycleView, now: float) -> float | None:
        """Seconds to the end of the pending work at the pace seen so far; None while that can't be said.

        now: of a clock that only goes forward, in seconds.
        """
        live = view.live
        if live is None or not live.started or live.fraction is None:
            return None
        attempt = (live.activity, live.attempt, live.worker)
        if attempt != self._attempt or live.fraction < self._from:
            self._attempt, self._since, self._from = attempt, now, live.fraction
        seconds, gain = now - self._since, live.fraction - self._from
        if seconds < LEAST_SECONDS or gain < LEAST_GAIN:
            return None
        return seconds / gain * (1 - live.fraction)
