"""DAMON's sysfs tree in a directory of fixtures: slots come and go with the numbers, and are on or off.

In: writes below `damon/admin/kdamonds`, and the regions that a test lets a pid have. Out: the tree. Whoever
is to be somebody else's DAMON is written into the files by the test, or set as `held_by_other`.
"""

import errno
import itertools
import os
import shutil
from pathlib import Path

_CONTEXT = {
    "operations": "vaddr",
    "monitoring_attrs/intervals/sample_us": "5000",
    "monitoring_attrs/intervals/aggr_us": "100000",
    "monitoring_attrs/intervals/update_us": "1000000",
    "monitoring_attrs/nr_regions/min": "10",
    "monitoring_attrs/nr_regions/max": "1000",
    "targets/nr_targets": "0",
    "schemes/nr_schemes": "0",
}
_SCHEME = {
    "action": "stat",
    **{
        f"access_pattern/{name}/{end}": "0" for name in ("sz", "nr_accesses", "age") for end in ("min", "max")
    },
    **{f"quotas/{name}": "0" for name in ("ms", "bytes", "reset_interval_ms")},
    "watermarks/metric": "none",
    **{f"watermarks/{name}": "0" for name in ("interval_us", "high", "mid", "low")},
    "filters/nr_filters": "0",
    **{f"stats/{name}": "0" for name in ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")},
    "tried_regions/total_bytes": "0",
}
# What a number makes: the files of each of the directories that it counts.
_CHILDREN = {
    "nr_kdamonds": {"state": "off", "pid": "-1", "contexts/nr_contexts": "0"},
    "nr_contexts": _CONTEXT,
    "nr_targets": {"pid_target": "0", "regions/nr_regions": "0"},
    "nr_schemes": _SCHEME,
    "nr_filters": {"type": "anon", "matching": "N", "allow": "N", "damon_target_idx": "0"},
}
Region = tuple[int, int, int, int]
"""Start, end, accesses, age."""


class TwinDamon:
    """Every write of the tree; `regions` is what each pid shows."""

    def __init__(self, root: Path) -> None:
        self._admin = root / "sys/kernel/mm/damon/admin/kdamonds"
        self._threads = itertools.count(9000)
        self.regions: dict[int, list[Region]] = {}
        self.held_by_other = False
        self._frozen = False

    def make(self) -> None:
        """Make the tree, with no kdamond in it."""
        self._admin.mkdir(parents=True)
        (self._admin / "nr_kdamonds").write_text("0\n")

    def write(self, path: Path, text: str) -> None:
        """Do what the kernel does with a write. Raises OSError."""
        if path.name in _CHILDREN:
            self._renumber(path, int(text))
        elif path.name == "state":
            self._switch(path.parent, text)
        else:
            path.write_text(f"{text}\n")

    def freeze(self) -> None:
        """Show the same regions from now on, without writing them anew: who measures time wants no twin's."""
        self._frozen = True

    def running(self) -> list[Path]:
        """The kdamonds that are on."""
        return [each.parent for each in self._admin.glob("*/state") if each.read_text() == "on\n"]

    def _renumber(self, path: Path, count: int) -> None:
        if path.name == "nr_kdamonds" and self.running():
            raise _error(errno.EBUSY)
        for each in path.parent.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
        for number in range(count):
            for name, value in _CHILDREN[path.name].items():
                file = path.parent / str(number) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{value}\n")
        path.write_text(f"{count}\n")

    def _switch(self, kdamond: Path, text: str) -> None:
        on = (kdamond / "state").read_text() == "on\n"
        if text == "on":
            if on or self.held_by_other:
                raise _error(errno.EBUSY)
            (kdamond / "pid").write_text(f"{next(self._threads)}\n")
        elif not on:
            raise _error(errno.EINVAL if text == "off" else errno.ENOENT)
        elif text == "off":
            (kdamond / "pid").write_text("-1\n")
        elif text == "update_schemes_tried_regions":
            if not self._frozen:
                self._show(kdamond / "contexts/0")
            return
        else:
            return
        (kdamond / "state").write_text(f"{text}\n")

    def _show(self, context: Path) -> None:
        for scheme in context.glob("schemes/[0-9]*"):
            index = scheme / "filters/0/damon_target_idx"
            number = int(index.read_text()) if index.exists() else 0
            pid = int((context / f"targets/{number}/pid_target").read_text())
            self._write_regions(scheme / "tried_regions", self.regions.get(pid, []))

    def _write_regions(self, tried: Path, regions: list[Region]) -> None:
        for each in tried.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
        for number, region in enumerate(regions):
            directory = tried / str(number)
            directory.mkdir()
            for name, value in zip(("start", "end", "nr_accesses", "age"), region, strict=True):
                (directory / name).write_text(f"{value}\n")


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
