"""From what nodes say to what they use: one round of merging, and one of judging, by whoever leads.

In: a memory, a shared model's kind and key, what ships (the first predecessor). Out: the `Release` after
the round, kept as kind `release`. Both rounds read, decide and write by version: one that was killed in
between is simply done again, and two leaders at once end with one release (the later generation). Losses
come from rows on trial, where both models were asked about the same outcomes.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from plimsoll.store import canary, contributions
from plimsoll.store.canary import Release, Verdict
from plimsoll.store.content import ContentError, decode
from plimsoll.store.kinds import kind_of
from plimsoll.store.memory import Memory
from plimsoll.store.record import Address
from plimsoll.store.robust import LEAST_NODES

FloatArray = npt.NDArray[np.float64]

OF_SCHEMA = "of_schema"  # of a release's document: of the words it was merged of; 1 where it does not say


def release_of(memory: Memory, kind: str, key: str, shipped: FloatArray, now_seconds: float) -> Release:
    """What is in use; what ships where nothing was released yet, where it has another shape than what ships,
    or was merged of words of another schema than the kind has now."""
    try:
        said = memory.retrieve("release", f"{kind} {key}", now_seconds)
        if said is None:
            return Release(0, shipped)
        held = canary.read(said)
    except ContentError:
        return Release(0, shipped)
    present = said.get(OF_SCHEMA, 1) == kind_of(kind, memory.tiers.kinds).schema
    fits = present and held.current.shape == shipped.shape
    return held if fits else Release(held.generation + 1, shipped)


def merge_round(
    memory: Memory,
    kind: str,
    key: str,
    shipped: FloatArray,
    now_seconds: float,
    *,
    trim: bool = False,
    least_nodes: int = LEAST_NODES,
) -> Release:
    """Put what the nodes have said on trial, where nothing is and it would change something."""
    release = release_of(memory, kind, key, shipped, now_seconds)
    entry = memory.tiers.retrieve(Address(kind, key), now_seconds)
    if entry is None:
        return release
    try:
        said = contributions.read(decode(entry.content))
    except ContentError:
        return release
    merged = contributions.successor(release.current, said, now_seconds, trim=trim, least_nodes=least_nodes)
    proposed = release.proposed(merged)
    if proposed is not release:
        _keep(memory, kind, key, proposed, now_seconds, kube_nodes=said, samples=len(said))
    return proposed


def judge_round(
    memory: Memory,
    kind: str,
    key: str,
    shipped: FloatArray,
    losses: tuple[float, float],
    now_seconds: float,
    heard: Mapping[str, int] | None = None,
) -> tuple[Release, Verdict]:
    """After live outcomes of rows on trial: mean `losses` of (candidate, predecessor) on the same ones.

    `heard`: by node the number of the judgement that they are of, kept with what follows from it.
    """
    release = release_of(memory, kind, key, shipped, now_seconds)
    after, verdict = release.judged(*losses, heard)
    if after is not release:
        nodes = release.heard.keys() | (heard or {}).keys()
        _keep(memory, kind, key, after, now_seconds, kube_nodes=nodes, samples=after.trial.rounds)
    return after, verdict


def _keep(
    memory: Memory,
    kind: str,
    key: str,
    release: Release,
    now_seconds: float,
    *,
    kube_nodes: Iterable[str],
    samples: int,
) -> None:
    said = {**canary.document(release), OF_SCHEMA: kind_of(kind, memory.tiers.kinds).schema}
    memory.store("release", f"{kind} {key}", said, now_seconds, kube_nodes=kube_nodes, samples=samples)
