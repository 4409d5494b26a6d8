"""What each kube node is to use of a shared model, and what nodes' losses say of one on trial.

In: words and losses that agents have handed in (`letters`), releases. Out: why a word that was read is not
taken all the same; what a node is told of a release, the candidate for a tenth of them and the current model
for the others; one round of a trial.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from plimsoll.store.canary import Release, on_trial, relative_difference
from plimsoll.store.contributions import FUTURE_SECONDS, KEPT_SECONDS, Contribution
from plimsoll.store.letters import Given, Judged
from plimsoll.store.robust import LEAST_NODES


def refusal(said: Contribution, now_seconds: float) -> str:
    """Why a word that was read is not taken all the same; "" where it is."""
    age_seconds = now_seconds - said.made_seconds
    return "" if -FUTURE_SECONDS <= age_seconds <= KEPT_SECONDS else f"made {age_seconds:.0f} s ago"


def given_to(kube_node: str, release: Release) -> Given | None:
    """What a node is told of a release; None where there is nothing but what ships."""
    if release.candidate is None:
        return None if release.generation == 0 else Given(release.generation, release.current)
    if on_trial(kube_node, release.generation):
        return Given(release.generation, release.candidate, release.current, on_trial=True)
    return Given(release.generation, release.current, release.candidate)


def unheard(release: Release, judged: Mapping[str, Judged]) -> dict[str, Judged]:
    """Of nodes' judgements those that are of this trial and that it does not hold yet.

    A stream that broke, or a leader that was killed, lets them come again.
    """
    return {
        node: each
        for node, each in judged.items()
        if each.generation == release.generation and each.sequence > release.heard.get(node, 0)
    }


def losses_of(judged: Iterable[Judged], least_nodes: int = LEAST_NODES) -> tuple[float, float] | None:
    """One round of a trial out of what nodes have lost lately by (candidate, predecessor); None for none.

    By the median of the nodes' relative differences, so that no one of three decides. Of fewer than three the
    one that speaks most against the candidate counts, and of fewer than `least_nodes` only where it does
    speak against it: such a node can hold a model up, not push one through.
    """
    found = sorted(relative_difference(each.candidate_loss, each.current_loss) for each in judged)
    if not found or (len(found) < least_nodes and found[-1] <= 0.0):
        return None
    difference = float(np.median(found)) if len(found) >= LEAST_NODES else found[-1]
    return 1.0 + difference, 1.0 - difference
