"""The node's counters: compaction, stalls, refaults, swap, demotion, from /proc/vmstat.

In: its text. Out: a frozen sample, and differences of two; a counter that this kernel lacks is None. All are
since boot, so that only differences say anything.
"""

from dataclasses import dataclass, fields

from plimsoll_nodeagent.sample.formats import parse_flat_keyed


@dataclass(frozen=True, slots=True)
class VmCounters:
    """Counters of events and pages since boot (or, of two samples, between them)."""

    compact_stall: int | None
    compact_success: int | None
    compact_fail: int | None
    compact_daemon_wake: int | None
    pswpin: int | None
    pswpout: int | None
    pgscan_direct: int | None
    pgsteal_direct: int | None
    allocstall_normal: int | None
    allocstall_movable: int | None
    workingset_refault_anon: int | None
    workingset_refault_file: int | None
    pgdemote_proactive: int | None
    pgdemote_kswapd: int | None
    pgpromote_success: int | None
    thp_fault_alloc: int | None
    thp_collapse_alloc: int | None
    oom_kill: int | None

    def since(self, before: "VmCounters") -> "VmCounters":
        """Return what happened since an earlier sample; None where either does not know, 0 after a reset."""
        names = [each.name for each in fields(self)]
        return VmCounters(*(_grown(getattr(before, name), getattr(self, name)) for name in names))


def parse_vmstat(text: str) -> VmCounters:
    """Read /proc/vmstat. Raises FormatError."""
    found = parse_flat_keyed(text)
    return VmCounters(*(found.get(each.name) for each in fields(VmCounters)))


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)
