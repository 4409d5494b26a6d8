"""Which workload a person means, and its MemoryProfiles.

In: `namespace/kind/name`, `kind/name` or `name`, and the profiles of a cluster. Out: the profiles of that one
workload (a DaemonSet has one a class of kube nodes), or a sentence that names what comes near.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from plimsoll.api.profile import ProfileStatus
from plimsoll.workload import WorkloadRef
from plimsoll_cli.cluster import PLIMSOLL_API, Cluster, ForbiddenError, MissingError, namespaced
from plimsoll_cli.failure import ClusterError, CommandError

NEAR_MATCHES = 5
# How kubectl's users abbreviate kinds.
SHORT_KINDS = {
    "deploy": "deployment",
    "sts": "statefulset",
    "ds": "daemonset",
    "cj": "cronjob",
    "po": "pod",
    "rs": "replicaset",
    "rc": "replicationcontroller",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a person wrote; None: not said."""

    text: str
    name: str
    kind: str | None = None
    namespace: str | None = None

    def means(self, ref: WorkloadRef) -> bool:
        """Return whether `ref` is a workload of that name, kind and namespace."""
        kind = self.kind is None or self.kind == ref.kind.lower()
        return kind and self.name == ref.name and self.namespace in (None, ref.namespace)


@dataclass(frozen=True, slots=True)
class Profile:
    """One MemoryProfile."""

    name: str
    ref: WorkloadRef
    node_class: str
    restore: bool
    status: ProfileStatus

    @property
    def path(self) -> str:
        """Return the object's path."""
        return namespaced(PLIMSOLL_API, "memoryprofiles", self.ref.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.ref}@{self.node_class}" if self.node_class else str(self.ref)


def reference(text: str, namespace: str | None = None) -> Reference:
    """Read `namespace/kind/name`, `kind/name` or `name`; `-n` stands where the text names no namespace."""
    parts = text.split("/")
    if len(parts) > 3 or not all(parts):
        raise CommandError(f"workload {text!r}: want name, kind/name or namespace/kind/name")
    *above, name = parts
    kind = _kind(above[-1]) if above else None
    within = above[0] if len(above) == 2 else None
    if within and namespace and within != namespace:
        raise CommandError(f"workload {text!r} is not in namespace {namespace}, which -n names")
    return Reference(text, name, kind, within or namespace)


def profiles_in(cluster: Cluster, namespace: str | None) -> list[Profile]:
    """Read all profiles of a namespace, or of the cluster, in order of their workloads."""
    try:
        bodies = cluster.items(namespaced(PLIMSOLL_API, "memoryprofiles", namespace))
    except MissingError as error:
        text = f"{cluster.host} knows no MemoryProfiles: Plimsoll is not installed in this cluster"
        raise ClusterError(f"{text} (plimsoll recommend needs no installation)") from error
    except ForbiddenError as error:
        hint = "; name a namespace that you may read with -n" if namespace is None else ""
        raise ForbiddenError(f"{error}{hint}") from error
    return sorted(map(profile_of, bodies), key=lambda each: (each.ref, each.node_class))


def profiles_of(cluster: Cluster, asked: Reference) -> list[Profile]:
    """Read the profiles of one workload, at least one; raises `CommandError` with near matches."""
    everything = profiles_in(cluster, asked.namespace)
    return chosen(everything, asked)


def chosen(profiles: Sequence[Profile], asked: Reference) -> list[Profile]:
    """Return the profiles of the one workload that is meant."""
    found = [each for each in profiles if asked.means(each.ref)]
    refs = sorted({each.ref for each in found})
    if len(refs) > 1:
        raise CommandError(f"{asked.text!r} may be {_listed(refs)}; write it out")
    if not found:
        raise CommandError(f"no MemoryProfile of workload {asked.text!r}" + _hint(asked, profiles))
    return found


def profile_of(body: dict[str, Any]) -> Profile:
    """Read one MemoryProfile."""
    meta, spec = body.get("metadata") or {}, body.get("spec") or {}
    target = spec.get("targetRef") or {}
    name = str(meta.get("name", ""))
    ref = WorkloadRef(
        str(meta.get("namespace", "")), str(target.get("kind", "")), str(target.get("name", name))
    )
    try:
        status = ProfileStatus.model_validate(body.get("status") or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ClusterError(f"MemoryProfile {ref.namespace}/{name}: status.{where}: {first['msg']}") from error
    return Profile(name, ref, str(spec.get("nodeClass") or ""), spec.get("restore") is True, status)


def near(asked: str, known: Iterable[str]) -> list[str]:
    """Return what of `known` comes near, best first; a name counts, and what stands before it too."""
    by_name: dict[str, list[str]] = {}
    for each in known:
        for key in {each.lower(), each.rpartition("/")[2].lower()}:
            by_name.setdefault(key, []).append(each)
    wanted = {asked.lower(), asked.rpartition("/")[2].lower()}
    keys = [key for want in wanted for key in difflib.get_close_matches(want, by_name, NEAR_MATCHES, 0.6)]
    keys += [key for key in by_name for want in wanted if want in key]
    return list(dict.fromkeys(name for key in keys for name in by_name[key]))[:NEAR_MATCHES]


def _hint(asked: Reference, profiles: Sequence[Profile]) -> str:
    if not profiles:
        where = f"namespace {asked.namespace}" if asked.namespace else "this cluster"
        return f": there are no MemoryProfiles in {where} (a policy must speak for a workload first)"
    close = near(asked.text, [str(each.ref) for each in profiles])
    return f"; did you mean {_listed(close)}?" if close else f" among {len(profiles)} profiles"


def _listed(names: Iterable[object]) -> str:
    texts = [str(each) for each in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _kind(text: str) -> str:
    """Return a kind in lower case and singular: `deploy`, `Deployments` and `deployment` are one."""
    kind = text.lower().partition(".")[0]
    kind = SHORT_KINDS.get(kind, kind)
    return kind[:-1] if kind.endswith("s") and not kind.endswith("ss") else kind
