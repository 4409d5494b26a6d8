"""Which engines this kernel and node can run, at which level, and what each falls back to and why.

In: the facts found by `sample/probe.py`. Out: `KernelCapabilities`, which is shown in `NodeMemory.status` and
by `plimsoll-agent status`, and asked by the loop before it samples or acts. Levels fall step by step: DAMON,
idle bits, generations of the LRU, soft-dirty bits, refaults; swap, file pages only; PSI triggers, polling,
observe only. A missing fact is a missing feature.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Engine(StrEnum):
    """What the agent does with the kernel, each at a level of its own."""

    ACCESSES = "accesses"  # which pages are touched
    PRESSURE = "pressure"  # when tasks stall
    RECLAIM = "reclaim"  # take cold memory from a cgroup
    ANONYMOUS = "anonymous"  # where anonymous pages go
    ADVICE = "advice"  # on single processes' pages: cold, pageout, prefetch, huge pages
    COMPACTION = "compaction"
    TIERING = "tiering"


class Level(StrEnum):
    """How an engine works; `NONE` is not at all."""

    DAMON = "damon"
    LRU_GENERATIONS = "lru-generations"
    IDLE_BITS = "idle-bits"
    SOFT_DIRTY = "soft-dirty"
    REFAULTS = "refaults"
    TRIGGERS = "triggers"
    POLLING = "polling"
    SWAPPINESS = "memory.reclaim swappiness"
    PLAIN = "memory.reclaim"
    HIGH_LEASE = "memory.high lease"
    SWAP = "swap"
    FILE_ONLY = "file pages only"
    COLLAPSE = "cold pageout willneed collapse"
    WILLNEED = "cold pageout willneed"
    PAGEOUT = "cold pageout"
    PER_NUMA_NODE = "per NUMA node"
    TIERS = "memory tiers"
    CPULESS = "nodes without cpus"
    ZSWAP = "zswap"
    NONE = "none"


ORDER: Mapping[Engine, tuple[Level, ...]] = {
    Engine.ACCESSES: (
        Level.DAMON,
        Level.IDLE_BITS,  # by address, as DAMON; generations know ages only
        Level.LRU_GENERATIONS,
        Level.SOFT_DIRTY,
        Level.REFAULTS,
    ),
    Engine.PRESSURE: (Level.TRIGGERS, Level.POLLING),
    Engine.RECLAIM: (Level.SWAPPINESS, Level.PLAIN, Level.HIGH_LEASE),
    Engine.ANONYMOUS: (Level.SWAP, Level.FILE_ONLY),
    Engine.ADVICE: (Level.COLLAPSE, Level.WILLNEED, Level.PAGEOUT),
    Engine.COMPACTION: (Level.PER_NUMA_NODE,),
    Engine.TIERING: (Level.TIERS, Level.CPULESS, Level.ZSWAP),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """Whether a level can be had here; `why` not, in words a person reads."""

    engine: Engine
    level: Level
    available: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class EngineLevel:
    """An engine at the best level there is, and what stands beneath it."""

    engine: Engine
    level: Level
    beneath: tuple[Level, ...]
    """The lower levels that are available here, the best first."""
    why: str
    """Why not higher; "" at the highest."""

    @property
    def falls_back_to(self) -> Level:
        """The next level that is available here; NONE if there is none."""
        return self.beneath[0] if self.beneath else Level.NONE

    def fallen(self, why: str) -> "EngineLevel":
        """At the next level, for what was lost."""
        reason = f"no {self.level.value}: {why}"
        said = f"{self.why}; {reason}" if self.why else reason
        return EngineLevel(self.engine, self.falls_back_to, self.beneath[1:], said)

    def risen(self, level: Level) -> "EngineLevel":
        """At the highest level, which somebody else had at the start, with what was in use beneath it."""
        return EngineLevel(self.engine, level, (self.level, *self.beneath), "")


@dataclass(frozen=True, slots=True)
class KernelCapabilities:
    """What was found at start (and again where something that was taken may have become free)."""

    kernel: str
    engines: tuple[EngineLevel, ...]
    numa_nodes: tuple[int, ...]
    swap_bytes: int
    limits: tuple[str, ...]
    """Limits of the node that are reported and not fought, such as LimitedSwap."""

    @property
    def observe_only(self) -> bool:
        """True where nothing may be reclaimed: without PSI nobody would see that it hurts."""
        return self.level(Engine.PRESSURE) is Level.NONE or self.level(Engine.RECLAIM) is Level.NONE

    def level(self, engine: Engine) -> Level:
        """The level in use."""
        return next((each.level for each in self.engines if each.engine is engine), Level.NONE)

    def at_least(self, engine: Engine, level: Level) -> bool:
        """Whether the engine works at that level or a better one."""
        order = ORDER[engine]
        own = self.level(engine)
        return own is not Level.NONE and order.index(own) <= order.index(level)

    def fallen(self, engine: Engine, why: str) -> "KernelCapabilities":
        """The same with one engine at the level that it falls back to, for what was lost since the start."""
        engines = (each.fallen(why) if each.engine is engine else each for each in self.engines)
        return replace(self, engines=tuple(engines))

    def risen(self, engine: Engine) -> "KernelCapabilities":
        """The same with one engine at its highest level, which was taken at the start and is free now."""
        highest = ORDER[engine][0]
        engines = (
            each.risen(highest) if each.engine is engine and each.level is not highest else each
            for each in self.engines
        )
        return replace(self, engines=tuple(engines))

    def limited(self, limits: Iterable[str]) -> "KernelCapabilities":
        """The same with limits of the node that were found since the start."""
        return replace(self, limits=(*self.limits, *limits))

    def has(self, engine: Engine, level: Level) -> bool:
        """Whether that level can be had here, in use or as what is fallen back to."""
        own = next((each for each in self.engines if each.engine is engine), None)
        return own is not None and level in (own.level, *own.beneath)

    def as_dict(self) -> dict[str, object]:
        """Return plain values for status and JSON."""
        return {
            "kernel": self.kernel,
            "observeOnly": self.observe_only,
            "numaNodes": list(self.numa_nodes),
            "swapBytes": self.swap_bytes,
            "limits": list(self.limits),
            "engines": [
                {
                    "engine": each.engine.value,
                    "level": each.level.value,
                    "fallsBackTo": each.falls_back_to.value,
                    "beneath": [level.value for level in each.beneath],
                    "why": each.why,
                }
                for each in self.engines
            ],
        }


def settle(facts: Iterable[Fact]) -> tuple[EngineLevel, ...]:
    """Choose for each engine the best level that is available; no fact is as good as `not there`."""
    known = {(each.engine, each.level): each for each in facts}
    return tuple(_settled(engine, order, known) for engine, order in ORDER.items())


def _settled(
    engine: Engine, order: tuple[Level, ...], known: Mapping[tuple[Engine, Level], Fact]
) -> EngineLevel:
    unknown = {level: Fact(engine, level, available=False, why="not looked for") for level in order}
    facts = [known.get((engine, level), unknown[level]) for level in order]
    there = [each.level for each in facts if each.available]
    level = there[0] if there else Level.NONE
    above = order if not there else order[: order.index(level)]
    why = "; ".join(f"no {each.level.value}: {each.why}" for each in facts if each.level in above)
    return EngineLevel(engine, level, tuple(there[1:]), why)
