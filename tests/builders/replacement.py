"""Replacement policies written out plainly, a list at a time, to hold the compiled ones against."""

from collections.abc import Callable, Sequence

Replayed = tuple[list[int], int]  # victims in order, misses
# Told of each reference with whether it hit; on a miss with memory full asked for a victim.
Policy = Callable[[Sequence[int], int], Replayed]


def lru(pages: Sequence[int], capacity: int) -> Replayed:
    order: list[int] = []  # oldest first
    victims, misses = [], 0
    for page in pages:
        if page in order:
            order.remove(page)
        else:
            misses += 1
            if len(order) == capacity:
                victims.append(order.pop(0))
        order.append(page)
    return victims, misses


def clock(pages: Sequence[int], capacity: int) -> Replayed:
    order: list[list[int]] = []  # [page, referenced], the hand at the first
    victims, misses = [], 0
    for page in pages:
        entry = next((each for each in order if each[0] == page), None)
        if entry:
            entry[1] = 1
            continue
        misses += 1
        if len(order) == capacity:
            while order[0][1]:
                order[0][1] = 0
                order.append(order.pop(0))
            victims.append(order.pop(0)[0])
        order.append([page, 0])
    return victims, misses


def s3fifo(pages: Sequence[int], capacity: int) -> Replayed:  # noqa: C901  (as the paper tells it)
    small: list[int] = []
    main: list[int] = []
    gone: list[int] = []  # all that the small queue ever let go, in order
    hits: dict[int, int] = {}
    victims, misses = [], 0
    small_pages, remembered = max(1, int(capacity * 0.1)), max(1, int(capacity * 0.9))

    def from_main() -> int:
        while True:
            page = main.pop(0)
            if hits[page] == 0:
                return page
            hits[page] -= 1
            main.append(page)

    def victim() -> int:
        if len(small) >= small_pages or not main:
            while small:
                page = small.pop(0)
                if hits[page] < 2:
                    gone.append(page)
                    return page
                hits[page] = 0
                main.append(page)
                if len(main) > capacity - small_pages:
                    break
        return from_main()

    readmitted: dict[int, int] = {}  # page: how long `gone` was when it came back to main
    for page in pages:
        if page in small or page in main:
            hits[page] = min(3, hits[page] + 1)
            continue
        misses += 1
        at = max((i for i, each in enumerate(gone) if each == page), default=-1)
        known = at >= readmitted.get(page, 0) and len(gone) - (at + 1) <= remembered and at >= 0
        if len(small) + len(main) == capacity:
            victims.append(victim())
        hits[page] = 0
        if known:
            readmitted[page] = len(gone)
            main.append(page)
        else:
            small.append(page)
    return victims, misses


def arc(pages: Sequence[int], capacity: int) -> Replayed:  # noqa: C901, PLR0912
    """Figure 4 of the paper, oldest first in every list."""
    t1, t2, b1, b2 = [], [], [], []  # type: list[int], list[int], list[int], list[int]
    target, victims, misses = 0.0, [], 0

    def replace(page: int) -> None:
        if (t1 and (len(t1) > target or (page in b2 and len(t1) == int(target)))) or not t2:
            victims.append(t1[0])
            b1.append(t1.pop(0))
        else:
            victims.append(t2[0])
            b2.append(t2.pop(0))

    for page in pages:
        if page in t1 or page in t2:
            (t1 if page in t1 else t2).remove(page)
            t2.append(page)
            continue
        misses += 1
        full = len(t1) + len(t2) >= capacity
        if page in b1:
            target = min(float(capacity), target + max(1.0, len(b2) / len(b1)))
            if full:
                replace(page)
            b1.remove(page)
            t2.append(page)
        elif page in b2:
            target = max(0.0, target - max(1.0, len(b1) / len(b2)))
            if full:
                replace(page)
            b2.remove(page)
            t2.append(page)
        else:
            if len(t1) + len(b1) >= capacity:
                if len(t1) < capacity:
                    b1.pop(0)
                    if full:
                        replace(page)
                else:
                    victims.append(t1.pop(0))
            elif len(t1) + len(t2) + len(b1) + len(b2) >= capacity:
                if len(t1) + len(t2) + len(b1) + len(b2) >= 2 * capacity:
                    b2.pop(0)
                if full:
                    replace(page)
            t1.append(page)
    return victims, misses


def lirs(pages: Sequence[int], capacity: int) -> Replayed:  # noqa: C901, PLR0912
    stack: list[int] = []  # bottom first
    queue: list[int] = []  # next to go first
    low: set[int] = set()
    victims, misses = [], 0
    most_low, highest = capacity - max(2, int(capacity * 0.01)), 3 * capacity

    def prune() -> None:
        while stack and stack[0] not in low:
            stack.pop(0)

    def demote() -> None:
        page = stack.pop(0)
        low.discard(page)
        queue.append(page)
        prune()

    def to_top(page: int) -> bool:
        there = page in stack
        if there:
            stack.remove(page)
        stack.append(page)
        return there

    for page in pages:
        hit, stacked = page in low or page in queue, page in stack
        if page in low:
            to_top(page)
            prune()
        elif page in queue:
            to_top(page)
            queue.remove(page)
            if stacked:
                low.add(page)
                if len(low) > most_low:
                    demote()
            else:
                queue.append(page)
        else:
            if len(low) + len(queue) == capacity:
                if not queue:
                    demote()
                victims.append(queue.pop(0))
            stacked = to_top(page)
            if stacked or len(low) < most_low:
                low.add(page)
                if len(low) > most_low:
                    demote()
            else:
                queue.append(page)
        misses += not hit
        if len(stack) > highest:
            old = next((each for each in stack[:64] if each not in low and each not in queue), None)
            if old is not None:
                stack.remove(old)
    return victims, misses


def least_misses(pages: Sequence[int], capacity: int) -> int:
    """The fewest misses that any choice of victims gives: all states of memory, reference by reference."""
    best: dict[frozenset[int], int] = {frozenset(): 0}
    for page in pages:
        after: dict[frozenset[int], int] = {}
        for held, misses in best.items():
            if page in held:
                choices = [(held, misses)]
            elif len(held) < capacity:
                choices = [(held | {page}, misses + 1)]
            else:
                choices = [((held - {victim}) | {page}, misses + 1) for victim in held]
            for memory, cost in choices:
                after[memory] = min(cost, after.get(memory, cost))
        best = after
    return min(best.values())
