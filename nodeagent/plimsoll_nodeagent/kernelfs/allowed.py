"""What the agent may ever write: a list of kernel files, and everything else is refused before it is opened.

In: a path as the kernel names it, or a file's name within an open cgroup, and the text. Out: whether it is on
the list. `memory.max`, `memory.min`, `memory.swap.max`, `cgroup.procs`, `cgroup.kill` and their like are not,
and cannot come onto it by a setting: limits are Kubernetes' business (`pods/resize`). Files of a cgroup are
written only through its open directory, whose inode has been checked, and those of a process through its own,
which is no other process' when its number is given away; never by path.
"""

import re

# A cgroup's files: one-off reclaim; a lease (act/leases.py); a PSI trigger, which ends with its descriptor;
# a binding.
CGROUP_FILES = {
    "memory.reclaim": re.compile(r"[0-9]{1,19}(?: swappiness=(?:[0-9]{1,3}|max))?"),
    "memory.high": re.compile(r"[0-9]{1,19}|max"),
    "memory.pressure": re.compile(r"(?:some|full) [0-9]{1,8} [0-9]{1,8}"),
    # NUMA nodes of a container for which nobody else has named any, and none again (act/binding.py).
    "cpuset.mems": re.compile(r"(?:[0-9]{1,4}(?:,[0-9]{1,4})*)?"),
}

_NUMBER = r"[0-9]{1,20}"
_PATHS = (
    (re.compile(rf"/sys/devices/system/node/node{_NUMBER}/compact"), re.compile("1")),
    (re.compile(r"/sys/kernel/mm/damon/admin/kdamonds/[a-z0-9_/]+"), re.compile(r"[A-Za-z0-9_.-]{1,64}")),
    (
        re.compile(r"/sys/kernel/debug/lru_gen"),
        # Ageing only (`+`): eviction (`-`) would pass by the cgroup's inode.
        re.compile(rf"\+ {_NUMBER} {_NUMBER} {_NUMBER}(?: [01](?: [01])?)?"),
    ),
    (re.compile(r"/proc/pressure/memory"), CGROUP_FILES["memory.pressure"]),
)
# A process' files; 4: forget which pages were written to (soft-dirty), and nothing else of clear_refs.
PROCESS_FILES = {"clear_refs": re.compile("4")}
_PROCESS = re.compile(rf"/proc/{_NUMBER}")
IDLE_BITMAP = "/sys/kernel/mm/page_idle/bitmap"


def may_write(path: str, text: str) -> bool:
    """True for a path and a text on the list; `path` is as the kernel names it, without `..`."""
    plain = text.rstrip("\n")
    return ".." not in path and any(
        known.fullmatch(path) and words.fullmatch(plain) for known, words in _PATHS
    )


def may_write_in(directory: str, name: str, text: str) -> bool:
    """True for a file of an open cgroup, or of an open process (`/proc/PID`), and a text on the list."""
    words = (PROCESS_FILES if _PROCESS.fullmatch(directory) else CGROUP_FILES).get(name)
    return words is not None and words.fullmatch(text.rstrip("\n")) is not None
