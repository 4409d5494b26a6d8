"""The leader learns patterns from what is remembered, beside the loop.

In: the fleet's memory, the clock, who leads. Out: records of kind `pattern` (`plimsoll.store.learning`), one
step each half minute in the memory's thread until the hour's pass is over; metrics of when, how many and how
many not. A step that fails is logged, counted and told in the operator's Lease (`degraded`), and the next
half minute tries it again: nothing else waits for it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plimsoll.store.learning import Step, last_pass, learn_some
from plimsoll_operator.serve.metrics import Metrics

if TYPE_CHECKING:  # it needs the extra `redis`, which an operator without a memory does without
    from plimsoll.store.memory import Memory

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Learner:
    """One for the process; it rests while another leads."""

    memory: "Memory"
    leads: Callable[[], bool]
    metrics: Metrics | None = None
    why: str = ""  # why the last step failed; "" where it did not
    _last: Step | None = None  # of this process

    def step(self, now_seconds: float) -> None:
        """Learn a little, where we lead and it is time; raises nothing."""
        try:
            on = self.memory.learning(now_seconds)
            self._show("plimsoll_memory_learning_off", float(not on))
            if not self.leads():
                self._last, self.why = None, ""
                self._tell(now_seconds)
                return
            done = learn_some(self.memory, now_seconds, self._last)
        except Exception as error:  # a memory that fails is no reason to end, whatever it raises
            self._last, self.why = None, str(error) or type(error).__name__
            self._count("plimsoll_memory_learn_steps_total", 1, outcome="failed")
            logger.warning("no patterns are learned: %s", self.why, exc_info=True)
            return
        self._told(done)

    def _told(self, done: Step) -> None:
        self._last, self.why = done, ""
        if done.of is not None and done.of.failed and done.of.why:
            self.why = f"of {done.of.failed} of {done.of.looked} histories, the last {done.of.why}"
        if done.of is not None:
            self._show("plimsoll_memory_learned_timestamp_seconds", done.of.ended_seconds)
        if done.of is None or not done.looked:
            return
        if done.failed:
            logger.warning("of %d histories no pattern can be made, the last %s", done.failed, done.of.why)
        same = done.looked - done.changed - done.failed
        for outcome, count in (("changed", done.changed), ("same", same), ("failed", done.failed)):
            self._count("plimsoll_memory_patterns_total", count, outcome=outcome)
        self._count("plimsoll_memory_learn_steps_total", 1, outcome="done")
        if done.of.ended_seconds is not None:
            counts = {"looked": done.of.looked, "changed": done.of.changed, "failed": done.of.failed}
            logger.info("patterns were learned", extra=counts)

    def _tell(self, now_seconds: float) -> None:
        """What whoever leads has done, as the memory tells it."""
        known = last_pass(self.memory, now_seconds)
        if known is not None:
            self._show("plimsoll_memory_learned_timestamp_seconds", known.ended_seconds)

    def _show(self, name: str, value: float | None) -> None:
        if self.metrics is not None and value is not None:
            self.metrics.set(name, value)

    def _count(self, name: str, count: int, **labels: str) -> None:
        if self.metrics is not None:
            self.metrics.count(name, count, **labels)
