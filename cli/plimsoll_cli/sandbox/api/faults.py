"""Trouble on purpose: which requests fail, how, and how often.

In: rules (a share of the matching requests, or the next few of them) and a seed. Out: for each request the
fault to inject, or None. `after_write` lets the write happen and loses the answer, the fault that shows
whether a client repeats what was done already.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any


@dataclass(slots=True)
class FaultRule:
    """One kind of trouble and whom it hits. Empty sets and strings match everything."""

    code: int = 0  # HTTP status to answer; 0 with `drop` or `delay_seconds`
    share: float = 1.0  # of the matching requests
    count: int | None = None  # how many at most; None without end
    verbs: frozenset[str] = frozenset()
    plural: str = ""
    subresource: str | None = None
    retry_after_seconds: int | None = None
    delay_seconds: float = 0.0
    drop: bool = False  # close the connection without an answer
    after_write: bool = False  # do the work first, then fail

    def matches(self, verb: str, plural: str, subresource: str) -> bool:
        """Whether a request may be hit."""
        if self.count is not None and self.count <= 0:
            return False
        if self.verbs and verb not in self.verbs:
            return False
        if self.plural and plural != self.plural:
            return False
        return self.subresource is None or subresource == self.subresource


@dataclass(slots=True)
class Faults:
    """The rules in force; the first that matches and draws hits."""

    seed: int = 0
    rules: list[FaultRule] = field(default_factory=list)
    injected: dict[str, int] = field(default_factory=dict)
    _rng: Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = Random(f"{self.seed} faults")  # noqa: S311 - a model's draws

    def draw(self, verb: str, plural: str, subresource: str) -> FaultRule | None:
        """The fault for one request."""
        for rule in self.rules:
            if rule.matches(verb, plural, subresource) and self._rng.random() < rule.share:
                if rule.count is not None:
                    rule.count -= 1
                name = "drop" if rule.drop else str(rule.code or "slow")
                self.injected[name] = self.injected.get(name, 0) + 1
                return rule
        return None


def fault_rules(documents: Iterable[dict[str, Any]]) -> list[FaultRule]:
    """Rules from JSON documents, whose keys are the fields' names."""
    return [FaultRule(**{**each, "verbs": frozenset(each.get("verbs") or ())}) for each in documents]
