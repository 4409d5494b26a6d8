"""How bold reclaim may be, learnt for each workload class: a bandit that is never bolder than was proven
safe.

In: episodes (a container held at one arm for some minutes, `control_episodes`): what was gained, and whether
pressure or the refault account was violated. Out: the arm for a container's next episode. Arms lie within the
policy's bounds by construction: an arm sets the pace, the share of the refault budget that may be spent, at
most all of it, and how soon what is taken on trial grows to the largest loan of the importance
(`control_probe.MOST_RATIO`), which no arm exceeds. Safe as in stage-wise exploration (Sui et al., SafeOpt;
Amani et al. 2019): risk grows with boldness, so an arm opens only when the one below it has shown enough
episodes with few violations. A class nobody has seen begins at the lowest arm; evidence fades, so that a
class that became risky falls back and one that became calm climbs again. There is no chance in it: the same
episodes give the same arms.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.api.effective import Importance


@dataclass(frozen=True, slots=True)
class Arm:
    """One boldness."""

    name: str
    usage_ratio_per_minute: float
    """Most that the refault account pays for in a minute, of usage."""
    budget_share: float
    """Share of the refault account that the expected return of what is out may cost."""
    trial_doublings: int
    """So often is the next loan doubled after one that stayed out."""


# The lowest is TMO's pace (0.05 % every six seconds).
ARMS = (
    Arm("careful", 0.005, 0.25, 1),
    Arm("steady", 0.02, 0.5, 2),
    Arm("brisk", 0.08, 0.75, 3),
    Arm("bold", 0.30, 1.0, 3),
)
BOLDEST = {Importance.CRITICAL: 0, Importance.HIGH: 1, Importance.NORMAL: 2, Importance.LOW: 3}

EPISODE_SECONDS = 120.0
FADE = 0.995  # an episode's weight after each later one of its class: half is left after 140
MOST_VIOLATED = 0.15  # upper estimate of the share of violated episodes up to which an arm counts as safe
LEAST_EPISODES = 6.0  # at the arm below, before the next one is tried
EXPLORE = 0.02  # of usage per episode: how much a rarely tried arm is favoured


@dataclass(frozen=True, slots=True)
class Episode:
    """What came of one arm on one container."""

    arm: int
    gained_ratio: float
    """Taken and not brought back, of usage."""
    violated: bool


@dataclass(slots=True)
class ArmRecord:
    """Faded sums over the episodes of one arm in one class."""

    episodes: float = 0.0
    violated: float = 0.0
    gained: float = 0.0

    @property
    def risk(self) -> float:
        """Upper estimate of the share of violated episodes: one more of each kind than was seen."""
        return (self.violated + 1.0) / (self.episodes + 2.0)

    @property
    def mean_gained(self) -> float:
        """Mean gain of an episode."""
        return self.gained / self.episodes if self.episodes else 0.0


@dataclass(slots=True)
class SafeBandit:
    """The arms of all classes on one node."""

    records: dict[str, tuple[ArmRecord, ...]] = field(default_factory=dict)

    def choose(self, workload_class: str, importance: Importance) -> int:
        """The arm for the next episode of a container of this class."""
        records = self.records.get(workload_class)
        if records is None:
            return 0
        safe = self.safe_arms(workload_class, importance)
        total = sum(records[arm].episodes for arm in safe)
        return max(safe, key=lambda arm: (_hoped(records[arm], total), -arm))

    def safe_arms(self, workload_class: str, importance: Importance) -> range:
        """The arms that may be tried: from the lowest up to one above the last that was proven."""
        records = self.records.get(workload_class, ())
        top = 0
        while top < min(BOLDEST[importance], len(records) - 1):
            below, above = records[top], records[top + 1]
            proven = below.episodes >= LEAST_EPISODES and below.risk <= MOST_VIOLATED
            # One violation of an arm that has not been tried often closes it, until that has faded.
            failed = above.violated > 0.5 and above.risk > MOST_VIOLATED
            if not proven or failed:
                break
            top += 1
        return range(top + 1)

    def learn(self, workload_class: str, episode: Episode) -> None:
        """Take in one episode."""
        records = self.records.setdefault(workload_class, tuple(ArmRecord() for _ in ARMS))
        for record in records:
            record.episodes *= FADE
            record.violated *= FADE
            record.gained *= FADE
        record = records[episode.arm]
        record.episodes += 1.0
        record.violated += float(episode.violated)
        record.gained += episode.gained_ratio if math.isfinite(episode.gained_ratio) else 0.0

    def as_plain(self) -> dict[str, list[list[float]]]:
        """Plain numbers, to be kept over a restart: three a class and arm."""
        return {
            name: [[each.episodes, each.violated, each.gained] for each in records]
            for name, records in self.records.items()
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> "SafeBandit":
        """Read what `as_plain` gave; a class whose numbers make no sense starts anew."""
        bandit = cls()
        for name, rows in plain.items():
            records = _records(rows)
            if records is not None:
                bandit.records[name] = records
        return bandit


def _hoped(record: ArmRecord, total: float) -> float:
    """Upper confidence bound of the gain, less what violations cost."""
    seldom = math.sqrt(math.log(total + 1.0) / (record.episodes + 1.0))
    return record.mean_gained * (1.0 - record.risk) + EXPLORE * seldom


def _records(rows: object) -> tuple[ArmRecord, ...] | None:
    if not isinstance(rows, list) or len(rows) != len(ARMS):
        return None
    found = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 3 or not all(isinstance(x, int | float) for x in row):
            return None
        if not all(math.isfinite(x) for x in row) or row[0] < 0 or not 0 <= row[1] <= row[0] + 1e-9:
            return None
        found.append(ArmRecord(*map(float, row)))
    return tuple(found)
