"""How much an object keeps: every collection and array below it, by where it is found.

In: an object of ours. Out: the number of entries by path of attributes; those of one path are summed up. What
is not ours (files, locks, the kernel's twin) is not looked into, nor are counters of outcomes by kind.
"""

from collections import Counter, deque
from collections.abc import Iterator

import numpy as np

from plimsoll_nodeagent.kernelfs import KernelFs

OURS = ("plimsoll", "plimsoll_nodeagent")
MANY = (list, tuple, set, frozenset, deque)


def kept(whole: object) -> dict[str, int]:
    """Entries by path; a path with none is not among them."""
    found: Counter[str] = Counter()
    waiting, seen = deque([("", whole)]), {id(whole)}
    while waiting:  # what is found by several paths is told by the shortest
        path, each = waiting.popleft()
        if isinstance(each, np.ndarray):
            found[path] += each.size
        elif isinstance(each, (dict, *MANY)):
            found[path] += len(each)
        for name, part in _parts(each):
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append((f"{path}{name}", part))
    return {path: count for path, count in found.items() if count}


def _parts(each: object) -> Iterator[tuple[str, object]]:
    if isinstance(each, Counter | KernelFs):
        return
    if isinstance(each, dict):
        yield from (("[]", part) for part in each.values())
    elif isinstance(each, MANY):
        yield from (("[]", part) for part in each)
    elif type(each).__module__.partition(".")[0] in OURS:
        names = {*getattr(each, "__dict__", ()), *_slots(type(each))}
        yield from ((f".{name}", getattr(each, name)) for name in sorted(names) if hasattr(each, name))


def _slots(of: type) -> Iterator[str]:
    for base in of.__mro__:
        slots = getattr(base, "__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
