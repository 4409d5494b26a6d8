"""Which recorded series teach and which judge: a series' name in, its group and its half out.

Series of one origin (days of a job, jobs that were started together, pods of a service, months of a
machine) jump in the same bin, so they share a group and a group is never on both sides. The half hangs on
a hash of the group alone: series that are added later do not move those that are there. What the sample
calls unseen (`sample.json`) is judged, with all its siblings.
"""

from enum import StrEnum
from hashlib import sha256

# Chosen among 0..999, before any recommender ran on this split, as the one that divides classes within each
# source most evenly (bench/draw_split.py); nothing else was looked at.
SEED = 803
# Groups of the sample's unseen series.
ALWAYS_JUDGED = frozenset(
    {
        "g19-113812204462",
        "gcd-14096",
        "gcd-47541",
        "gcd-49748",
        "gcd-49749",
        "gcd-50048",
        "gcd-50075",
        "gcd-50965",
        "gcd-53512",
        "gcd-54459",
        "gcd-55120",
        "gcd-56330",
        "gcd-57260",
        "gcd-58506",
        "gcd-59058",
        "gcd-59321",
        "gcd-61151",
        "gcd-61276",
        "gcd-61677",
        "gcd-61999",
        "gcd-62176",
        "gcd-62720",
        "gcd-62832",
        "gcd-62952",
        "gcd-98696",
        "nezha-adservice",
        "nezha-cartservice",
        "nezha-checkoutservice",
        "nezha-currencyservice",
        "nezha-frontend",
        "nezha-recommendationservice",
    }
)
# Share of a source's other groups that are for training. Where the unseen series alone are about half of
# what there is, (nearly) all the rest is for training.
TRAINING_SHARE = {"gcd": 0.95, "g19": 1.0, "nezha": 1.0}
OTHERS_TRAINING_SHARE = 0.5
JOB_PREFIX = 5  # digits of a Google job's id that jobs started together share


class Half(StrEnum):
    """What a series is for."""

    TRAINING = "training"
    JUDGED = "judged"


def group_of(series_id: str) -> str:
    """The origin of a series: siblings (jobs with a common id prefix, pods of one service) share one."""
    source, _, rest = series_id.partition("-")
    if source == "gcd":
        return f"{source}-{rest[:JOB_PREFIX]}"
    if source in ("g19", "nezha"):
        return f"{source}-{rest.partition('-')[0]}"
    if source.startswith("rnd"):  # rnd7-11, rnd8-11: one machine in July and in August
        return f"rnd-{rest}"
    return series_id


def half_of(series_id: str) -> Half:
    """Whether this series is to be trained on or to be judged by."""
    group = group_of(series_id)
    if group in ALWAYS_JUDGED:
        return Half.JUDGED
    share = TRAINING_SHARE.get(group.partition("-")[0], OTHERS_TRAINING_SHARE)
    return Half.TRAINING if fraction_of(group, SEED) < share else Half.JUDGED


def fraction_of(group: str, seed: int) -> float:
    """A number in [0, 1) that hangs on the group's name and the seed only."""
    digest = sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
