"""Pods that were created while this process looked: the webhook must have been asked about each of them.

In: pods under a policy that a scan has seen for the first time. Out: how many of them are new. What was there
before the first look is no evidence, and static pods are the kubelet's own.
"""

from collections.abc import Iterable

from plimsoll_operator.records import PodRecord


class Created:
    """Counts new pods from the first look on."""

    def __init__(self) -> None:
        self._since_seconds: float | None = None

    def count(self, seen: Iterable[PodRecord], now_seconds: float) -> int:
        """New pods of one scan; none at the first, which only says since when."""
        if self._since_seconds is None:
            self._since_seconds = now_seconds
            return 0
        since = self._since_seconds
        return sum(not pod.mirror and (pod.created_seconds or 0.0) > since for pod in seen)
