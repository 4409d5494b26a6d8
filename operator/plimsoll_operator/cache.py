"""What the operator hands to kopf so that 50,000 pods fit: stores that keep nothing, no blocking.

In: nothing. Out: kopf's own extension points, filled in. Index functions are all we use of kopf, so nothing
may ever be written to an object of the cluster: the diff base and the progress are kept nowhere, which also
saves a deep copy of every pod at every event. kopf waits with each object until all are indexed, and wakes
every waiter for every object: with 10,000 pods that is quadratic. `NeverBlocking` takes the waiting away;
completeness is checked by counting (`handlers.py`).
"""

from collections.abc import Iterable
from typing import Any

import kopf
from kopf._cogs.structs import bodies, dicts, patches, references
from kopf._core.reactor import inventory

from plimsoll_operator.handlers import CONTROL_CONFIG_MAP


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last-seen state anywhere."""

    def build(self, *, body: bodies.Body, extra_fields: Iterable[dicts.FieldSpec] | None = None) -> Any:  # noqa: ANN401, ARG002
        """Nothing to compare."""
        return {}

    def fetch(self, *, body: bodies.Body) -> None:
        """Nothing was remembered."""

    def store(self, *, body: bodies.Body, patch: patches.Patch, essence: bodies.BodyEssence) -> None:
        """Write nothing."""


class NoProgress(kopf.ProgressStorage):
    """Remembers no handler's progress anywhere."""

    def fetch(self, *, key: str, body: bodies.Body) -> None:
        """Nothing was remembered."""

    def store(
        self, *, key: str, record: kopf.ProgressRecord, body: bodies.Body, patch: patches.Patch
    ) -> None:
        """Write nothing."""

    def purge(self, *, key: str, body: bodies.Body, patch: patches.Patch) -> None:
        """Write nothing."""

    def touch(self, *, body: bodies.Body, patch: patches.Patch, value: str | None) -> None:
        """Write nothing."""

    def clear(self, *, essence: bodies.BodyEssence) -> bodies.BodyEssence:
        """Nothing of ours is in it."""
        return essence


class Forgetful(inventory.ResourceMemories):
    """No memory per object: index functions need none, and it would be 1.5 KB for each of 50,000 pods."""

    async def recall(self, raw_body: bodies.RawBody, **_: object) -> inventory.ResourceMemory:  # noqa: ARG002
        """A fresh memory each time."""
        return inventory.ResourceMemory()


class NeverBlocking(set[references.Resource]):
    """The set of indexed resources as kopf asks for it: whether to block until they are indexed. Never."""

    def __contains__(self, _: object) -> bool:
        """Say no; iterating (which kopf does not do) would still tell the truth."""
        return False


def insights() -> references.Insights:
    """kopf's view of the cluster, with the blocking taken out."""
    return references.Insights(indexed_resources=NeverBlocking())


def kopf_settings(settings: kopf.OperatorSettings) -> None:
    """Set what must hold for us: nothing posted or persisted, chunks parsed in less than 50 ms."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = 60.0  # an end that hangs is no end
    settings.persistence.finalizer = "plimsoll.dev/unused"
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    # A profile is up to 22 KB, a pod 10: a page of 50 is parsed in 10 ms, and nothing waits longer than that.
    settings.watching.chunk_size = 50
    # One ConfigMap is ours; asked for by name, it is the only one that the operator must be allowed to read.
    settings.watching.field_selectors["configmaps"] = f"metadata.name={CONTROL_CONFIG_MAP}"
    settings.queueing.idle_timeout = 0.5  # a finished worker holds its last event; let it go
    settings.queueing.worker_limit = None  # a limit below the number of objects would deadlock an index
    settings.networking.error_backoffs = (0.2, 0.5, 1, 2, 3, 5, 8, 13, 21)
