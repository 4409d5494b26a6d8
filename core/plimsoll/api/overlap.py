"""Policies that could speak for the same pods with the same precedence, found before a cluster sees them.

In: the specs of several documents. Out: one sentence for each pair that can tie, at the field to narrow. A
tie is possible where no label contradicts another: `app: web` and `tier: db` can meet in one pod, `app:
web` and `app: db` cannot.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from plimsoll.api.policy import ClusterMemoryPolicySpec, MemoryPolicySpec, PolicySpec
from plimsoll.api.selector import LabelSelector

Document = tuple[int, str, str, PolicySpec]  # its number, namespace, name, spec


def overlaps(documents: Sequence[Document]) -> Iterator[tuple[int, str, str]]:
    """(document, path, sentence) for the later one of each pair that can tie or has the same name."""
    for first, second in combinations(documents, 2):
        path = _tie(first, second)
        if path:
            kind = type(first[3]).__name__.removesuffix("Spec")
            text = f"can speak for the same pods as {kind} {first[2]} with the same precedence (Conflict)"
            yield second[0], path, text
        if type(first[3]) is type(second[3]) and _identity(first) == _identity(second):
            yield second[0], "metadata.name", f"{second[2]!r} is the name of an earlier document too"


def _identity(document: Document) -> tuple[str, str]:
    namespaced = isinstance(document[3], MemoryPolicySpec)
    return (document[1] if namespaced else "", document[2])


def _tie(first: Document, second: Document) -> str:
    """Path of the field on which two documents can tie, or nothing."""
    one, two = first[3], second[3]
    if isinstance(one, MemoryPolicySpec) and isinstance(two, MemoryPolicySpec):
        return _namespaced_tie(one, two) if first[1] == second[1] else ""
    if isinstance(one, ClusterMemoryPolicySpec) and isinstance(two, ClusterMemoryPolicySpec):
        return _cluster_tie(one, two)
    return ""


def _namespaced_tie(one: MemoryPolicySpec, two: MemoryPolicySpec) -> str:
    if one.target_ref is not None and two.target_ref is not None:
        same = (one.target_ref.kind, one.target_ref.name) == (two.target_ref.kind, two.target_ref.name)
        return "spec.targetRef" if same else ""
    if one.selector is not None and two.selector is not None:
        return "spec.selector" if one.selector.may_overlap(two.selector) else ""
    return ""


def _cluster_tie(one: ClusterMemoryPolicySpec, two: ClusterMemoryPolicySpec) -> str:
    if one.is_cluster_wide and two.is_cluster_wide:
        return "spec"
    if one.is_cluster_wide or two.is_cluster_wide:
        return ""
    names = set(one.namespaces) & set(two.namespaces) if one.namespaces and two.namespaces else True
    namespaces = _may_overlap(one.namespace_selector, two.namespace_selector)
    return "spec.selector" if names and namespaces and _may_overlap(one.selector, two.selector) else ""


def _may_overlap(one: LabelSelector | None, two: LabelSelector | None) -> bool:
    return one is None or two is None or one.may_overlap(two)
