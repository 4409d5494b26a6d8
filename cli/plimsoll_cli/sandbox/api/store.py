"""All objects of the sandbox's API, each kept as the JSON it is served as.

In: whole objects to put or remove. Out: bytes to serve, a strictly increasing resourceVersion, the change
log that watches follow. Objects are parsed only when somebody changes or inspects them, so 50,000 pods cost
their text and a list is a join of bytes.
"""

import asyncio
import bisect
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import expired
from .selectors import selectable_fields

Json = Any  # one JSON value of any shape
JsonObject = dict[str, Any]
Key = tuple[str, str]  # namespace ("" for cluster-scoped), name
ResourceId = tuple[str, str]  # group, plural: versions of one resource share their objects

# Changes a collection remembers. A watch from before the oldest of them is told 410 Gone.
LOG_LENGTH = 20_000
# The version an empty store begins with: what is older was never here, and a watch from there is told 410.
FIRST_VERSION = 1000


def encode(obj: Json) -> bytes:
    """JSON as served: compact, UTF-8."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object, with what selectors ask of it."""

    key: Key
    version: int
    raw: bytes
    labels: dict[str, str]
    fields: dict[str, str]

    def load(self) -> JsonObject:
        """A copy of the object that the caller may change."""
        obj: JsonObject = json.loads(self.raw)
        return obj


@dataclass(frozen=True, slots=True)
class Change:
    """A log entry; `before` is None for a new object, `after` carries the last state of a removed one."""

    kind: str  # ADDED | MODIFIED | DELETED
    after: Stored
    before: Stored | None


class Watcher:
    """One follower of a collection, and the changes that it has not taken yet."""

    def __init__(self) -> None:
        self._pending: list[Change] = []
        self._event = asyncio.Event()

    def push(self, change: Change) -> None:
        """Called by the collection at every write."""
        self._pending.append(change)
        self._event.set()

    async def take(self, timeout_seconds: float) -> list[Change]:
        """All pending changes, none if none came in time."""
        if not self._pending:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._event.wait()
            except TimeoutError:
                return []
        taken, self._pending = self._pending, []
        self._event.clear()
        return taken


@dataclass(slots=True)
class Collection:
    """The objects of one resource."""

    objects: dict[Key, Stored] = field(default_factory=dict)
    log: deque[Change] = field(default_factory=deque)
    forgotten_version: int = FIRST_VERSION  # changes up to here are no longer in the log
    watchers: set[Watcher] = field(default_factory=set)
    _sorted: list[Key] | None = None

    def keys(self) -> list[Key]:
        """All keys in order; kept until an object comes or goes."""
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        return self._sorted

    def record(self, change: Change) -> None:
        """Enter a change in the objects, the log and every watcher."""
        if change.kind == "DELETED":
            del self.objects[change.after.key]
        else:
            self.objects[change.after.key] = change.after
        if change.kind != "MODIFIED":
            self._sorted = None
        self.log.append(change)
        while len(self.log) > LOG_LENGTH:
            self.forgotten_version = self.log.popleft().after.version
        for watcher in self.watchers:
            watcher.push(change)

    def page(self, after: Key | None, namespace: str | None) -> Iterator[Stored]:
        """Objects in key order, beginning behind `after`; the caller stops at its own limit."""
        keys = self.keys()
        start = bisect.bisect_right(keys, after) if after is not None else 0
        if namespace is not None:
            start = max(start, bisect.bisect_left(keys, (namespace, "")))
        for position in range(start, len(keys)):
            key = keys[position]
            if namespace is not None and key[0] != namespace:
                return
            yield self.objects[key]

    def count_after(self, key: Key, namespace: str | None) -> int:
        """How many objects come behind `key`, in one namespace or in all."""
        keys = self.keys()
        end = len(keys) if namespace is None else bisect.bisect_left(keys, (namespace + "\0", ""))
        return end - bisect.bisect_right(keys, key)

    def changes_since(self, version: int) -> list[Change]:
        """The remembered changes after `version`; 410 where some of them are forgotten."""
        if version < self.forgotten_version:
            raise expired(version, self.forgotten_version)
        if not self.log or self.log[-1].after.version <= version:
            return []
        return [change for change in self.log if change.after.version > version]

    def forget_log(self) -> None:
        """Compact, as etcd does every five minutes: a later watch from an older version gets 410."""
        if self.log:
            self.forgotten_version = self.log[-1].after.version
            self.log.clear()


class ObjectStore:
    """Every collection, one version counter, and hooks that see each change in the order it happened."""

    def __init__(self) -> None:
        self.version = FIRST_VERSION
        self._collections: dict[ResourceId, Collection] = {}
        self.observers: list[Callable[[ResourceId, Change], None]] = []

    def collection(self, resource: ResourceId) -> Collection:
        """The collection of a resource, made on first use."""
        found = self._collections.get(resource)
        if found is None:
            found = self._collections[resource] = Collection()
        return found

    def get(self, resource: ResourceId, namespace: str, name: str) -> Stored | None:
        """The current version of an object, or None."""
        return self.collection(resource).objects.get((namespace, name))

    def put(self, resource: ResourceId, obj: JsonObject) -> Stored:
        """Write a whole object under its metadata's name; returns the stored version."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace") or "", metadata["name"])
        collection = self.collection(resource)
        before = collection.objects.get(key)
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        after = Stored(key, self.version, encode(obj), metadata.get("labels") or {}, selectable_fields(obj))
        self._publish(resource, Change("MODIFIED" if before else "ADDED", after, before))
        return after

    def remove(self, resource: ResourceId, namespace: str, name: str) -> Stored | None:
        """Remove an object; the DELETED event carries its last state under a new version."""
        before = self.collection(resource).objects.get((namespace, name))
        if before is None:
            return None
        obj = before.load()
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        after = Stored(before.key, self.version, encode(obj), before.labels, before.fields)
        self._publish(resource, Change("DELETED", after, before))
        return before

    def _publish(self, resource: ResourceId, change: Change) -> None:
        self.collection(resource).record(change)
        for observer in self.observers:
            observer(resource, change)

    def compact(self) -> None:
        """Forget all change logs."""
        for collection in self._collections.values():
            collection.forget_log()
