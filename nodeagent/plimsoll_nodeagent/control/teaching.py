"""What two looks at a container's idle memory teach its hazards of return.

In: a container, its newest histogram, what ever came back to it, and what was ever reclaimed from it by
anybody: `pgsteal` of memory.stat
(the kernel's reclaim, memory.reclaim, leases), and what the agent paged out by address, which the kernel does
not count there. Out: what the looks showed; the container goes on from the new one. Two looks teach only
where it is known what was reclaimed in between; histograms of different origin are not compared.
"""

from dataclasses import replace

from plimsoll.pages.survival import Returns
from plimsoll.pages.touched_once import IDLE_SECONDS
from plimsoll_nodeagent.control.controlled import Controlled, refault_bytes
from plimsoll_nodeagent.control.idle_ages import Looked
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.reading import ContainerSample


def notice(each: Controlled, sample: ContainerSample) -> None:
    """Take in what a sample says of what was ever reclaimed; a plan by address is told what it cannot see."""
    stolen_pages = None if sample.stat is None else sample.stat.stolen_pages
    before = each.stolen_bytes
    each.stolen_bytes = None if stolen_pages is None else stolen_pages * PAGE_BYTES
    each.unmapped_cache_bytes = sample.unmapped_cache_bytes
    each.swapped_out_bytes = sample.swapped_out_bytes or 0
    each.refaulted_total_bytes = refault_bytes(sample)
    if each.addresses is not None and before is not None and each.stolen_bytes is not None:
        each.addresses.others_took(max(0, each.stolen_bytes - before))


def learn(each: Controlled, new: Looked | None) -> Returns | None:
    """Take over the newest look; returns what it taught, None for nothing."""
    before = each.compared
    if new is not None and before is not None and _same(before, new):
        each.looked = before  # what was reclaimed and came back by then stands in the one that is held
        return None
    each.taken_since_look_bytes = 0
    if new is not None and not new.by_address:
        known = each.stolen_bytes is not None
        total_bytes = (each.stolen_bytes or 0) + each.paged_out_bytes if known else None
        new = replace(new, reclaimed_total_bytes=total_bytes)
    if new is not None:
        new = replace(new, refaulted_total_bytes=each.refaulted_total_bytes)
    each.looked = new
    if new is not None or (before is not None and not before.by_address):
        each.compared = new
    if before is None or new is None or new.by_address is not before.by_address:
        return None
    elapsed_seconds = new.taken_seconds - before.taken_seconds
    reclaimed = _grown(before.reclaimed_total_bytes, new.reclaimed_total_bytes)
    refaulted = _grown(before.refaulted_total_bytes, new.refaulted_total_bytes)
    return each.survival.observe(before.ages, new.ages, elapsed_seconds, reclaimed, refaulted)


def see_leak(each: Controlled, new: Looked, now_seconds: float) -> None:
    """Anonymous memory by age: what is swapped out was not touched either. Blocks by address tell it apart
    from files no more than they know."""
    ages = new.ages if new.anon_ages is None else new.anon_ages
    out = each.swapped_out_bytes
    each.leak.add(now_seconds, ages.total_bytes + out, ages.idle_bytes(IDLE_SECONDS) + out)
    each.hint = each.leak.hint()


def _same(one: Looked, other: Looked) -> bool:
    """Whether two are of the same look."""
    return (one.taken_seconds, one.by_address) == (other.taken_seconds, other.by_address)


def _grown(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else now - before
