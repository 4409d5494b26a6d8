"""Which version of the protocol two sides speak.

In: both sides' versions. Out: the one that is spoken, or a sentence that says who must be upgraded. Minor
versions only add: a side may be one minor ahead, and what the other does not know it does not read. Until a
version is released it grows without a number of its own; 1.0 is not yet.
"""

from dataclasses import dataclass

MOST_SKEW = 1  # minor versions apart; more would have to be tested to be promised


class ProtocolError(Exception):
    """The other side broke the protocol; the stream cannot go on."""


@dataclass(frozen=True, slots=True, order=True)
class ProtocolVersion:
    """A version of the protocol."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


PROTOCOL = ProtocolVersion(1, 0)


def spoken(mine: ProtocolVersion, theirs: ProtocolVersion) -> ProtocolVersion:
    """The version both speak. Raises ProtocolError with the sentence that the other side is told."""
    if mine.major != theirs.major:
        raise ProtocolError(f"protocol {theirs} cannot speak with {mine}: the major versions differ")
    if abs(mine.minor - theirs.minor) > MOST_SKEW:
        older = "upgrade the older side first"
        raise ProtocolError(f"protocol {theirs} is more than {MOST_SKEW} minor version from {mine}: {older}")
    return min(mine, theirs)
