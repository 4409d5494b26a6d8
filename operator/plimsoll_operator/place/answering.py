"""From an admission review to the operations that say where its pod should go.

In: the raw pod, the memory that admission writes. Out: a JSON patch, empty where there is no opinion.
"""

from collections.abc import Mapping
from typing import Any

from plimsoll_operator.actuate.api import MemoryValues
from plimsoll_operator.initial import InitialResources
from plimsoll_operator.parse.scalars import Raw, part
from plimsoll_operator.place.affinity import placement_patch
from plimsoll_operator.place.placer import Placer

DECISION_CHARACTERS = 12  # of the review's uid: enough to tell decisions of ten minutes apart


class PlacementAnswer:
    """What the webhook asks."""

    def __init__(self, placer: Placer, initial: InitialResources) -> None:
        self._placer, self._initial = placer, initial

    def __call__(
        self, pod: Raw, namespace: str, values: Mapping[str, MemoryValues], uid: str, *, made: bool
    ) -> list[dict[str, Any]]:
        """Operations for a pod that is being created in `namespace`; `made`: it is no dry run."""
        if not self._placer.awake:
            return []
        ref = self._initial.workload(part(pod, "metadata"), namespace)
        given = {name: each.request_bytes for name, each in values.items()}
        requests = {name: each for name, each in given.items() if each is not None}
        decision = "".join(filter(str.isalnum, uid))[:DECISION_CHARACTERS]
        verdict = self._placer.place(pod, ref, requests, decision, remember=made)
        return [] if verdict is None else list(placement_patch(pod, verdict))
