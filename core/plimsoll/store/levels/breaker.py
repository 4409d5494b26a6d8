"""When a level that failed is asked again: after a second, then two, four ... at most a minute.

In: successes, failures and a `now`. Out: whether to ask. A Redis that answers after two seconds would
otherwise hold every reading for its time-out; what is read meanwhile comes from the levels before it.
"""

from dataclasses import dataclass

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0


@dataclass(slots=True)
class Breaker:
    """Closed: ask. Open: not before `until_seconds`."""

    failures: int = 0
    until_seconds: float = 0.0
    why: str = ""

    def allows(self, now_seconds: float) -> bool:
        """True where it may be asked; a clock that was set back does not lock it for longer than a minute."""
        return now_seconds >= self.until_seconds or now_seconds < self.until_seconds - MOST_SECONDS

    def failed(self, why: str, now_seconds: float) -> None:
        """One more failure in a row."""
        self.until_seconds = now_seconds + min(FIRST_SECONDS * 2.0**self.failures, MOST_SECONDS)
        self.failures = min(self.failures + 1, 16)
        self.why = why

    def succeeded(self) -> None:
        """It answers."""
        self.failures, self.until_seconds, self.why = 0, 0.0, ""
