"""A model of a kernel's memory under stress: NOT a measurement, and never to be shown as one.

In: what a stress program wants at each step (anonymous memory, file reads, huge blocks). Out: the levels
and counters a kernel would show, as the agent reads them. Modelled with a fixed step: watermarks and kswapd
(kube node only), direct reclaim that stalls who allocates, refaults of a file working set, swap with the
cost of swapping in, fragmentation with compaction that stalls who wants huge blocks, PSI as stalled time,
memory.max and OOM kills. Rates are of a virtual machine with zram and are drawn for each run; real kernels
differ, which is why `make train-pressure RECORDINGS=...` exists.
"""

from dataclasses import dataclass, field

import numpy as np

from plimsoll.pressure.sample import PressureReading, ScopeKind

STEP_SECONDS = 0.02
MIB = float(1 << 20)
PAGE_MIB = 1 / 256


@dataclass(frozen=True, slots=True)
class Machine:
    """What memory there is and how fast it moves (MiB, MiB/s)."""

    kind: ScopeKind
    total_mib: float
    swap_mib: float
    bandwidth: float
    kswapd: float
    file_reclaim: float
    swap_out: float
    swap_in: float
    disk: float
    tasks: int

    @property
    def min_mib(self) -> float:
        """A task that finds less free must reclaim for itself; a container has no such watermark."""
        return 0.0 if self.kind is ScopeKind.CONTAINER else 0.004 * self.total_mib


def drawn_machine(random: np.random.Generator, kind: ScopeKind) -> Machine:
    """A machine as such runs happen on: zram or no swap, disks of all sorts."""
    total = float(np.exp(random.uniform(np.log(256), np.log(4096))))
    return Machine(
        kind,
        total,
        swap_mib=float(random.choice([0.0, 0.15, 0.3, 0.5])) * total,
        bandwidth=float(random.uniform(200, 1500)),
        kswapd=float(random.uniform(60, 500)),
        file_reclaim=float(random.uniform(300, 2500)),
        swap_out=float(random.uniform(60, 400)),
        swap_in=float(random.uniform(150, 800)),
        disk=float(random.uniform(60, 600)),
        tasks=int(random.integers(1, 5)),
    )


@dataclass(frozen=True, slots=True)
class Want:
    """What programs want in a step: anonymous memory to hold, a file set to read at a rate, huge blocks."""

    anon_mib: float
    file_set_mib: float
    file_reads: float  # MiB/s
    huge_blocks: float  # a second
    churn: float  # MiB/s freed and allocated again in mixed orders


@dataclass(slots=True)
class Counters:
    """What only grows."""

    allocated_mib: float = 0.0
    compactions: float = 0.0
    direct_reclaims: float = 0.0
    refaults: float = 0.0
    some_seconds: float = 0.0
    full_seconds: float = 0.0
    events_max: float = 0.0
    oom_kills: float = 0.0
    requests: float = 0.0
    stall_seconds: float = 0.0
    proactive_compactions: float = 0.0


@dataclass(slots=True)
class Kernel:
    """One scope's memory, stepped."""

    machine: Machine
    random: np.random.Generator
    anon: float = 0.0
    file: float = 0.0
    swapped: float = 0.0
    fragmentation: float = 0.1
    counters: Counters = field(default_factory=Counters)
    _kswapd: bool = False
    _stuck_seconds: float = 0.0
    _reclaim_mib: float = 0.0
    _compact_seconds: float = 0.0
    _fallen_seconds: float = 0.0
    _evicted: float = 0.0

    @property
    def slab(self) -> float:
        """What cannot be reclaimed."""
        return 0.04 * self.machine.total_mib

    @property
    def free(self) -> float:
        """MiB that can be given at once."""
        return self.machine.total_mib - self.slab - self.anon - self.file

    def reclaim(self, wanted_mib: float) -> None:
        """Ask for reclaim in the background, as memory.reclaim does; it replaces what was asked before."""
        self._reclaim_mib = wanted_mib

    def compact(self) -> None:
        """Ask for compaction in the background, as a write to `compact` does."""
        self._compact_seconds = 0.1
        self.counters.proactive_compactions += 1

    def step(self, want: Want) -> bool:
        """One step; True where it ended in an OOM kill, after which the programs start anew."""
        stall = self._file_step(want) + self._anon_step(want) + self._huge_step(want)
        self._background()
        killed = self._oom(want)
        self._account(stall + (0.3 if killed else 0.0) * STEP_SECONDS)
        return killed

    # -- what programs do ------------------------------------------------------------------------------------

    def _anon_step(self, want: Want) -> float:
        """Grow or shrink towards what is wanted; touch what was swapped out."""
        stall = 0.0
        held = self.anon + self.swapped
        if self._fallen_seconds > 0:
            self._fallen_seconds -= STEP_SECONDS
        elif want.anon_mib > held:
            grow = min(want.anon_mib - held, self.machine.bandwidth * STEP_SECONDS)
            got, stall = self._allocate(grow)
            self.anon += got
        else:
            gone = held - want.anon_mib
            from_swap = gone * self.swapped / max(held, 1e-9)
            self.swapped -= from_swap
            self.anon -= gone - from_swap
        # A part of the memory is hot; the more is out, the likelier a touched page is among it.
        out = self.swapped / max(held, 1e-9)
        touched = min(self.swapped, 40.0 * out * out * STEP_SECONDS * self.machine.tasks)
        if touched > 0:
            got, more = self._allocate(touched)
            self.swapped -= got
            self.anon += got
            self.counters.refaults += got / PAGE_MIB
            stall += more + got / self.machine.swap_in
        return stall

    def _file_step(self, want: Want) -> float:
        """Read the file set: what is not in the cache comes from the disk, into the cache."""
        if want.file_reads <= 0:
            return 0.0
        missing = max(0.0, want.file_set_mib - self.file)
        read = min(missing, want.file_reads * STEP_SECONDS * missing / max(want.file_set_mib, 1e-9))
        read = min(read, self.machine.disk * STEP_SECONDS)
        got, stall = self._allocate(read)
        self.file += got
        # First reads are I/O and no memory stall; reads of what was reclaimed are refaults.
        again = got * min(1.0, self._evicted / max(missing, 1e-9)) if missing else 0.0
        self._evicted = max(0.0, self._evicted - again)
        self.counters.refaults += again / PAGE_MIB
        return stall + 0.5 * again / self.machine.disk

    def _huge_step(self, want: Want) -> float:
        """Churn fragments; a huge block that is not to be had makes its task compact memory."""
        spare = max(0.0, self.free / self.machine.total_mib)
        worse = 0.3 * want.churn / self.machine.total_mib * (1.0 - spare) * (1.0 - self.fragmentation)
        merged = self.fragmentation * (
            0.02 + 0.3 * spare * spare
        )  # buddies find each other where much is free
        self.fragmentation = min(0.99, self.fragmentation + (worse - merged) * STEP_SECONDS)
        if self.machine.kind is ScopeKind.CONTAINER or want.huge_blocks <= 0:
            return 0.0
        stall = 0.0
        for _ in range(int(self.random.poisson(want.huge_blocks * STEP_SECONDS))):
            blocks = max(0.0, self.free - self.machine.min_mib) / 2.0 * (1.0 - self.fragmentation) ** 2
            if self.random.random() > np.exp(-blocks / 4.0):
                continue
            self.counters.compactions += 1
            stall += float(self.random.uniform(0.5e-3, 4e-3)) * (1.0 + 2.0 * self.fragmentation)
            self.fragmentation *= 1.0 - 0.35 * min(1.0, 20.0 * spare)
        return stall

    # -- what the kernel does --------------------------------------------------------------------------------

    def _allocate(self, wanted: float) -> tuple[float, float]:
        """Take from what is free; below the minimum the task reclaims. Returns what it got and its stall."""
        if wanted <= 0:
            return 0.0, 0.0
        spare = self.free - self.machine.min_mib
        stall = 0.0
        if spare < wanted:
            self.counters.direct_reclaims += 1 + (wanted - spare) / 0.125
            self.counters.events_max += 1 + (wanted - spare) / 0.125
            freed, stall = self._shrink(wanted - spare + 0.25, STEP_SECONDS)
            spare += freed
        got = max(0.0, min(wanted, spare))
        self.counters.allocated_mib += got
        missing = wanted - got
        self._stuck_seconds = self._stuck_seconds + STEP_SECONDS if missing > 0.5 * wanted else 0.0
        return got, stall + (STEP_SECONDS * 0.5 if missing > 0.5 * wanted else 0.0)

    def _shrink(self, wanted: float, seconds: float) -> tuple[float, float]:
        """Reclaim file pages, then anonymous ones to swap, within that time; returns MiB and seconds."""
        floor = 0.01 * self.machine.total_mib
        from_file = min(wanted, max(0.0, self.file - floor), self.machine.file_reclaim * seconds)
        used = from_file / self.machine.file_reclaim
        room = min(self.machine.swap_mib - self.swapped, 0.85 * self.anon)
        from_anon = min(wanted - from_file, max(0.0, room), self.machine.swap_out * max(0.0, seconds - used))
        self.file -= from_file
        self._evicted += from_file * 0.7
        self.anon -= from_anon
        self.swapped += from_anon
        return from_file + from_anon, used + from_anon / self.machine.swap_out

    def _background(self) -> None:
        """Kswapd between its watermarks, and what the agent asked for."""
        low, high = 2.0 * self.machine.min_mib, 3.0 * self.machine.min_mib
        if self.machine.kind is not ScopeKind.CONTAINER:
            self._kswapd = self.free < (high if self._kswapd else low)
            if self._kswapd:
                budget = self.machine.kswapd * STEP_SECONDS
                self._shrink(min(budget, high - self.free), STEP_SECONDS)
                self.fragmentation *= 1.0 - 0.02 * STEP_SECONDS
        if self._reclaim_mib > 0:
            freed, _ = self._shrink(min(self._reclaim_mib, self.machine.kswapd * STEP_SECONDS), STEP_SECONDS)
            self._reclaim_mib = self._reclaim_mib - freed if freed > 0 else 0.0
        if self._compact_seconds > 0:
            self._compact_seconds -= STEP_SECONDS
            self.fragmentation *= 1.0 - 6.0 * STEP_SECONDS * min(
                1.0, 20.0 * self.free / self.machine.total_mib
            )

    def _oom(self, want: Want) -> bool:
        """Nothing to be had for a while: the largest program dies."""
        if self._stuck_seconds < 0.2:
            return False
        self._stuck_seconds = 0.0
        self.counters.oom_kills += 1
        self.anon, self.swapped = 0.05 * want.anon_mib, 0.0
        self._fallen_seconds = float(self.random.uniform(1.0, 4.0))
        return True

    def _account(self, stall: float) -> None:
        """PSI: somebody stalls for as long; all do where there is one task, or all want the same at once."""
        stall = min(STEP_SECONDS, stall)
        self.counters.some_seconds += stall
        self.counters.stall_seconds += stall
        self.counters.requests += 50.0 * STEP_SECONDS
        self.counters.full_seconds += stall * (1.0 if self.machine.tasks == 1 else 0.3)

    def reading(self, seconds: float) -> PressureReading:
        """What the agent would read now; what a scope of this kind has not is NaN."""
        c, machine = self.counters, self.machine
        node = machine.kind is not ScopeKind.CONTAINER
        nan = float("nan")
        available = max(0.0, self.free - machine.min_mib) + 0.6 * self.file
        return PressureReading(
            seconds,
            machine.total_mib * MIB,
            max(0.0, self.free) * MIB,
            min(available, machine.total_mib) * MIB,
            c.allocated_mib * MIB,
            np.floor(c.compactions) if node else nan,
            np.floor(c.direct_reclaims),
            np.floor(c.refaults),
            c.some_seconds,
            c.full_seconds,
            nan if node else 0.0,
            nan if node else np.floor(c.events_max),
            c.oom_kills,
            self.swapped * MIB if machine.swap_mib else nan,
            machine.swap_mib * MIB if machine.swap_mib else nan,
            self.fragmentation if node else nan,
        )
