"""Times each stage of the loop by name.

In: a metrics sink and a clock that counts up. Out: a context manager for each stage, and what the last loop
took.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from plimsoll_operator.serve.metrics import Metrics


class Stages:
    """Wall seconds of the stages of one loop, in order."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time one stage."""
        began = self._monotonic()
        try:
            yield
        finally:
            self.add(name, self._monotonic() - began)

    def add(self, name: str, seconds: float) -> None:
        """Take a stage that was timed elsewhere (the engine's)."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self._metrics.observe("plimsoll_loop_stage_seconds", seconds, stage=name)

    def begin(self) -> None:
        """Start a loop."""
        self.seconds = {}
