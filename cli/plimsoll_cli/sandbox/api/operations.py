"""The API's verbs on stored objects, without HTTP: what a request does once it is understood.

In: a resource type, names, objects or patches. Out: the stored version, or an `ApiError`. The kubelet model
and the sandbox's own controllers write through here too, so their writes obey the same rules as a client's.
"""

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from . import pods, rules
from .errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    expired,
    invalid,
    not_found,
    too_many_requests,
)
from .patching import APPLY, MERGE, STRATEGIC, apply_patch
from .resources import ResourceRegistry, ResourceType
from .selectors import Labels, field_selector, label_selector, matches_selector
from .store import Change, Key, ObjectStore, Stored

Json = Any  # one JSON value of any shape
JsonObject = dict[str, Any]

_NAMESPACES = ("", "namespaces")
_PODS = ("", "pods")
_CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
_PDBS = ("policy", "poddisruptionbudgets")
FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
# What a client is told to wait after an eviction that a budget forbids; the real one says the same.
EVICTION_RETRY_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a collection a list or watch is about."""

    namespace: str | None = None
    labels: Callable[[Labels], bool] | None = None
    fields: Callable[[Labels], bool] | None = None

    @classmethod
    def parse(cls, namespace: str | None, query: Labels) -> "Selection":
        """From a request's namespace and query parameters."""
        return cls(
            namespace, label_selector(query.get("labelSelector")), field_selector(query.get("fieldSelector"))
        )

    @property
    def everything(self) -> bool:
        """Whether nothing but the namespace selects."""
        return self.labels is None and self.fields is None

    def has(self, stored: Stored | None) -> bool:
        """Whether this object is one of them."""
        if stored is None or (self.namespace is not None and stored.key[0] != self.namespace):
            return False
        if self.labels is not None and not self.labels(stored.labels):
            return False
        return self.fields is None or self.fields(stored.fields)

    def event_kind(self, change: Change) -> str | None:
        """How a change looks through the selection: what leaves it is DELETED, what enters ADDED."""
        if change.kind == "DELETED":
            return "DELETED" if self.has(change.before) else None
        was, is_now = self.has(change.before), self.has(change.after)
        if is_now:
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: the objects, the version to watch from, where to go on."""

    items: list[Stored]
    version: int
    continue_token: str
    remaining: int = 0  # objects after this page; told only where nothing was selected, as the real one does


class Operations:
    """Create, read, update, delete on an `ObjectStore` by the rules of kube-apiserver."""

    def __init__(
        self, store: ObjectStore, registry: ResourceRegistry, now: Callable[[], float], seed: int
    ) -> None:
        self.store = store
        self.registry = registry
        self.now = now
        self._rng = Random(f"{seed} names")  # noqa: S311 - names and uids of a model
        for name in FIRST_NAMESPACES:
            self.create(self.type("", "v1", "namespaces"), None, {"metadata": {"name": name}})

    def type(self, group: str, version: str, plural: str) -> ResourceType:
        """A served resource; 404 where it is none."""
        found = self.registry.find(group, version, plural)
        if found is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return found

    def get(self, kind: ResourceType, namespace: str | None, name: str) -> Stored:
        """The stored object; 404 where it is not."""
        found = self.store.get(kind.id, namespace or "", name)
        if found is None:
            raise not_found(kind.plural, name)
        return found

    def page(self, kind: ResourceType, selection: Selection, limit: int | None, token: str | None) -> Page:
        """A page of at most `limit` selected objects, continuing from `token`."""
        collection = self.store.collection(kind.id)
        version, after = _parse_token(token) if token else (self.store.version, None)
        if token and version < collection.forgotten_version:
            raise expired(version, collection.forgotten_version)
        found = collection.page(after, selection.namespace)
        if not selection.everything:
            found = (stored for stored in found if selection.has(stored))
        if not limit:
            return Page(list(found), version, "")
        items = list(itertools.islice(found, limit + 1))
        if len(items) <= limit:
            return Page(items, version, "")
        last = items[limit - 1].key
        remaining = collection.count_after(last, selection.namespace) if selection.everything else 0
        return Page(items[:limit], version, _token(version, last), remaining)

    def create(
        self, kind: ResourceType, namespace: str | None, obj: JsonObject, *, dry_run: bool = False
    ) -> Stored:
        """Store a new object."""
        obj = rules.new_object(kind, namespace, obj, self.now(), self._rng)
        metadata = obj["metadata"]
        if kind.namespaced and self.store.get(_NAMESPACES, "", metadata["namespace"]) is None:
            raise not_found("namespaces", metadata["namespace"])
        if self.store.get(kind.id, metadata.get("namespace", ""), metadata["name"]) is not None:
            raise already_exists(kind.plural, metadata["name"])
        if kind.id == _PODS:
            pods.default_pod(obj)
        if kind.id == _CRDS:
            _establish(obj, self.now())
            self.registry.define(obj)
        return self._stored(kind, obj, dry_run=dry_run)

    def update(
        self,
        kind: ResourceType,
        namespace: str | None,
        name: str,
        subresource: str,
        obj: JsonObject,
        *,
        dry_run: bool = False,
    ) -> Stored:
        """Replace an object (PUT)."""
        old = self.get(kind, namespace, name).load()
        if (obj.get("metadata") or {}).get("name", name) != name:
            raise bad_request("the name of the object does not match the name on the URL")
        rules.check_version(kind, old, obj, required=kind.custom and not subresource)
        if rules.names_another(old, obj):
            raise conflict(kind.plural, name)
        return self._replace(kind, subresource, old, obj, dry_run=dry_run)

    def patch(
        self,
        kind: ResourceType,
        namespace: str | None,
        name: str,
        subresource: str,
        media_type: str,
        patch: Json,
        *,
        dry_run: bool = False,
    ) -> Stored:
        """Change an object (PATCH); server-side apply of an absent object creates it."""
        if media_type == STRATEGIC and kind.custom:
            raise ApiError(415, "UnsupportedMediaType", f"{STRATEGIC} is not supported for custom resources")
        if media_type == APPLY and self.store.get(kind.id, namespace or "", name) is None and not subresource:
            return self.create(kind, namespace, patch, dry_run=dry_run)
        old = self.get(kind, namespace, name).load()
        new = apply_patch(media_type, old, patch)
        if not isinstance(new.get("metadata"), dict):
            raise bad_request("the patched object has no metadata")
        rules.check_version(kind, old, new, required=False)
        if rules.names_another(old, new):
            message = f'metadata.uid: Invalid value: "{new["metadata"]["uid"]}": field is immutable'
            raise invalid(kind.kind, name, message)
        return self._replace(kind, subresource, old, new, dry_run=dry_run)

    def change(
        self, kind: ResourceType, namespace: str, name: str, subresource: str, patch: JsonObject
    ) -> Stored:
        """Our own controllers' write: a strategic merge (a merge patch for custom resources)."""
        media_type = MERGE if kind.custom else STRATEGIC
        return self.patch(kind, namespace, name, subresource, media_type, patch)

    def _replace(
        self, kind: ResourceType, subresource: str, old: JsonObject, asked: JsonObject, *, dry_run: bool
    ) -> Stored:
        new = rules.updated(kind, subresource, old, asked)
        metadata = new["metadata"]
        if rules.unchanged(old, new):
            return self.get(kind, metadata.get("namespace"), metadata["name"])
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and not dry_run:
            stored = self._stored(kind, new, dry_run=False)
            self._remove(kind, stored)
            return stored
        if kind.id == _CRDS and not dry_run:
            self.registry.define(new)
        return self._stored(kind, new, dry_run=dry_run)

    def _stored(self, kind: ResourceType, obj: JsonObject, *, dry_run: bool) -> Stored:
        if dry_run:
            scratch = ObjectStore()
            scratch.version = self.store.version
            return scratch.put(kind.id, obj)
        return self.store.put(kind.id, obj)

    def delete(
        self,
        kind: ResourceType,
        namespace: str | None,
        name: str,
        options: JsonObject,
        *,
        dry_run: bool = False,
    ) -> Stored:
        """Remove an object, or mark it where finalizers keep it; returns its last state."""
        stored = self.get(kind, namespace, name)
        obj = stored.load()
        preconditions = options.get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if preconditions.get(field) not in (None, obj["metadata"].get(field)):
                raise conflict(kind.plural, name)
        if dry_run or obj["metadata"].get("deletionTimestamp"):
            return stored
        if obj["metadata"].get("finalizers"):
            obj["metadata"]["deletionTimestamp"] = rules.timestamp(self.now())
            return self.store.put(kind.id, obj)
        return self._remove(kind, stored)

    def _remove(self, kind: ResourceType, stored: Stored) -> Stored:
        if kind.id == _CRDS:
            self.registry.undefine(stored.load())
        self.store.remove(kind.id, *stored.key)
        return stored

    def evict(self, namespace: str, name: str, eviction: JsonObject) -> None:
        """Delete a pod unless a disruption budget forbids it (429)."""
        kind = self.type("", "v1", "pods")
        pod = self.get(kind, namespace, name)
        budgets = [
            stored
            for stored in self.store.collection(_PDBS).page(None, namespace)
            if matches_selector((stored.load().get("spec") or {}).get("selector"), pod.labels)
        ]
        if len(budgets) > 1:
            raise ApiError(500, "InternalError", "This pod has more than one PodDisruptionBudget")
        dry_run = bool(eviction.get("dryRun") or (eviction.get("deleteOptions") or {}).get("dryRun"))
        for stored in budgets:
            self._disrupt(stored, dry_run=dry_run)
        self.delete(kind, namespace, name, eviction.get("deleteOptions") or {}, dry_run=dry_run)

    def _disrupt(self, stored: Stored, *, dry_run: bool) -> None:
        budget = stored.load()
        status = budget.get("status") or {}
        allowed = status.get("disruptionsAllowed")
        if allowed is None:
            allowed = self._disruptions_allowed(budget)
        if allowed <= 0:
            raise too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.", EVICTION_RETRY_SECONDS
            )
        if "disruptionsAllowed" in status and not dry_run:
            budget["status"] = {**status, "disruptionsAllowed": allowed - 1}
            self.store.put(_PDBS, budget)

    def _disruptions_allowed(self, budget: JsonObject) -> int:
        """What the disruption controller would write into the budget's status."""
        spec = budget["spec"]
        pods_here = self.store.collection(_PODS).page(None, budget["metadata"]["namespace"])
        chosen = [pod for pod in pods_here if matches_selector(spec.get("selector"), pod.labels)]
        healthy = sum(pod.fields["status.phase"] == "Running" for pod in chosen)
        if "maxUnavailable" in spec:
            return healthy - (len(chosen) - _count(spec["maxUnavailable"], len(chosen)))
        return healthy - _count(spec.get("minAvailable", 0), len(chosen))


def _count(amount: int | str, whole: int) -> int:
    if isinstance(amount, str) and amount.endswith("%"):
        return -(-int(amount[:-1]) * whole // 100)
    return int(amount)


def _establish(crd: JsonObject, now: float) -> None:
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": "",
            "lastTransitionTime": rules.timestamp(now),
        }
        for kind, reason in (("NamesAccepted", "NoConflicts"), ("Established", "InitialNamesAccepted"))
    ]
    names = {"listKind": crd["spec"]["names"]["kind"] + "List", **crd["spec"]["names"]}
    stored = [version["name"] for version in crd["spec"]["versions"] if version.get("storage")]
    crd["status"] = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}


def _token(version: int, key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *key]).encode()).decode()


def _parse_token(token: str) -> tuple[int, Key]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token.encode()))
        return int(version), (str(namespace), str(name))
    except (ValueError, TypeError) as error:
        raise bad_request("continue key is not valid") from error
