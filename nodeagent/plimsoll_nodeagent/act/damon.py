"""Slots of DAMON that are ours: kdamonds shared by containers in turn.

In: what to watch (pids' virtual addresses). Out: an `Answer`; regions are read by `sample/damon.py`. The
number of kdamonds cannot change while one of them runs, so a fixed number is taken once and the slots are
recycled. Before that it is looked whether anybody else has kdamonds: then, and where DAMON_STAT holds the
monitor (EBUSY), DAMON is left alone. Ours are told by the journal: slot, and the pid of the kernel thread.
Source: the kernel's `admin-guide/mm/damon/usage.rst`.
"""

import logging
from collections.abc import Iterable

from plimsoll_nodeagent.act.journal import Journal, Record
from plimsoll_nodeagent.act.watching import Watching, settings
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, Mode

logger = logging.getLogger(__name__)

ADMIN = "/sys/kernel/mm/damon/admin/kdamonds"
KIND = "kdamonds"
_RECORD = "damon"
_STARTING = 0  # no thread has this number


class DamonSlots:
    """Our kdamonds. `take` first; then `start`, `snapshot`, `stop` by slot."""

    def __init__(self, fs: KernelFs, journal: Journal, boot_id: str) -> None:
        self._fs = fs
        self._journal = journal
        self._boot_id = boot_id
        self.slots = 0
        self._pids: dict[int, int] = {}
        self._set_up: set[int] = set()  # slots that bear what we wrote

    def take(self, slots: int) -> Answer:
        """Make so many kdamonds ours; BUSY where anybody else has some, or one of ours cannot be told."""
        if self.slots:
            return Answer.DONE if slots == self.slots else Answer.REFUSED
        present = self._number("nr_kdamonds")
        if isinstance(present, Absence):
            return Answer.UNSUPPORTED if present is Absence.GONE else Answer.DENIED
        if present:
            return Answer.BUSY
        try:
            self._keep(slots)
        except OSError:
            return Answer.REFUSED
        answer = self._write("nr_kdamonds", slots)
        if answer is Answer.DONE:
            self.slots = slots
        elif answer is not Answer.PLANNED:
            self._journal.drop(_RECORD)
        return answer

    def start(self, slot: int, watching: Watching) -> Answer:
        """Set a slot up and switch it on; BUSY where DAMON_STAT or another monitor holds DAMON."""
        if not 0 <= slot < self.slots or not watching.pids:
            return Answer.REFUSED
        if not self.still_ours():
            return Answer.GONE
        freed = self._freed(slot)
        if freed is not Answer.DONE:
            return freed
        if len(watching.pids) > 1 and not self._tells_targets():
            return Answer.UNSUPPORTED
        for name, value in settings(watching):
            answer = self._write(f"{slot}/{name}", value)
            if answer is not Answer.DONE:
                return answer
        self._set_up.add(slot)
        self._keep(self.slots, starting=slot)
        answer = self._write(f"{slot}/state", "on")
        if answer is Answer.DONE:
            self._note_thread(slot)
        else:
            self._keep(self.slots)
        return answer

    def _freed(self, slot: int) -> Answer:
        """Make a slot free: stop our thread; one whose processes have all ended has ended by itself."""
        if self._running(slot) is None:
            self._pids.pop(slot, None)
            return Answer.DONE
        return self.stop(slot) if slot in self._pids else Answer.BUSY

    def update(self, slot: int) -> Answer:
        """Have the kernel write the regions of a slot into its files."""
        if not self.is_ours(slot):
            return Answer.REFUSED
        return self._write(f"{slot}/state", "update_schemes_tried_regions")

    def stop(self, slot: int) -> Answer:
        """Switch a slot off, for another to use."""
        if not self.is_ours(slot):
            self._pids.pop(slot, None)
            return Answer.REFUSED
        answer = self._write(f"{slot}/state", "off")
        if answer is Answer.DONE:
            self._pids.pop(slot, None)
            self._keep(self.slots)
        return answer

    def is_ours(self, slot: int) -> bool:
        """Whether the slot runs the very thread that we started."""
        return slot in self._pids and self._number(f"{slot}/pid") == self._pids[slot]

    def still_ours(self) -> bool:
        """Whether the kdamonds that there are, are those that were taken; else they are forgotten.

        They can be taken away and others made in their place, which then are somebody's: as many, perhaps,
        but without what was written into ours.
        """
        same = self.slots > 0 and self._number("nr_kdamonds") == self.slots
        if same and all(self._number(f"{slot}/contexts/nr_contexts") == 1 for slot in self._set_up):
            return True
        if self.slots:
            logger.warning("the agent's kdamonds were taken away", extra={"kdamonds": self.slots})
            self._forget()
        return False

    def close(self) -> Answer:
        """Stop all and give the kdamonds back; those that have become another's are left alone."""
        if not self.still_ours():
            return Answer.DONE
        for slot in list(self._pids):
            self.stop(slot)
        return self._give_back(self.slots)

    def undo(self, record: Record) -> Answer:
        """Give back what a killed predecessor took; REFUSED where the kdamonds are not those any more."""
        if record.kind != KIND:
            return Answer.REFUSED
        slots = self._number("nr_kdamonds")
        if isinstance(slots, Absence) or not slots:
            return Answer.GONE
        running = running_of(self._fs, record)
        if running is None:
            return Answer.REFUSED
        for slot in running:
            answer = self._write(f"{slot}/state", "off")
            if answer is not Answer.DONE:
                return answer
        return self._write("nr_kdamonds", 0)

    def _give_back(self, slots: int) -> Answer:
        if any(self._running(slot) is not None for slot in range(slots)):
            return Answer.BUSY  # another switched one on: its record stays, and so does the number
        answer = self._write("nr_kdamonds", 0)
        if answer is Answer.DONE:
            self._forget()
        return answer

    def _forget(self) -> None:
        self.slots = 0
        self._pids.clear()
        self._set_up.clear()
        self._journal.drop(_RECORD)

    def _running(self, slot: int) -> int | None:
        return _running(self._fs, slot)

    def _note_thread(self, slot: int) -> None:
        pid = self._number(f"{slot}/pid")
        if isinstance(pid, int):
            self._pids[slot] = pid
            self._keep(self.slots)

    def _keep(self, slots: int, starting: int | None = None) -> None:
        """Write down whose threads are ours; one that is about to start has no number yet."""
        if self._fs.mode is not Mode.ACT:
            return
        known = self._pids if starting is None else self._pids | {starting: _STARTING}
        threads = ",".join(f"{slot}:{pid}" for slot, pid in sorted(known.items()))
        self._journal.put(Record(_RECORD, KIND, self._boot_id, {"threads": threads}, "0", (str(slots),)))

    def _tells_targets(self) -> bool:
        """Linux 6.6 tells schemes apart by target; asked by release, for there is no file that says so."""
        release = self._fs.read("/proc/sys/kernel/osrelease")
        return not isinstance(release, Absence) and kernel_release(release) >= (6, 6)

    def _number(self, name: str) -> int | Absence:
        return _number(self._fs, name)

    def _write(self, name: str, value: object) -> Answer:
        return self._fs.write(f"{ADMIN}/{name}", f"{value}")


def running_of(fs: KernelFs, record: Record) -> tuple[int, ...] | None:
    """Which slots of a record's kdamonds run; None where the kdamonds that there are are not all of it."""
    slots = _number(fs, "nr_kdamonds")
    if isinstance(slots, Absence) or slots != int(record.wrote[0]):
        return None
    known = dict(_pairs(str(record.subject.get("threads", ""))))
    running = {slot: pid for slot in range(slots) if (pid := _running(fs, slot)) is not None}
    strange = any(known.get(slot) not in (pid, _STARTING) for slot, pid in running.items())
    return None if strange else tuple(running)


def noted(fs: KernelFs, records: Iterable[Record], boot_id: str) -> bool:
    """Whether the kdamonds that there are, are those an agent has written down since the node started."""
    ours = (each for each in records if each.kind == KIND and each.boot_id == boot_id)
    return any(running_of(fs, each) is not None for each in ours)


def _running(fs: KernelFs, slot: int) -> int | None:
    """The thread of a slot that is switched on."""
    state, pid = fs.read(f"{ADMIN}/{slot}/state"), _number(fs, f"{slot}/pid")
    return pid if state == "on\n" and isinstance(pid, int) else None


def _number(fs: KernelFs, name: str) -> int | Absence:
    text = fs.read(f"{ADMIN}/{name}")
    if isinstance(text, Absence):
        return text
    plain = text.strip()
    return int(plain) if plain.removeprefix("-").isdecimal() else Absence.GARBLED


def kernel_release(text: str) -> tuple[int, int]:
    """Return the first two numbers of a kernel's release; (0, 0) where there are none."""
    major, _, rest = text.strip().partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)


def _pairs(text: str) -> list[tuple[int, int]]:
    parts = (each.partition(":") for each in text.split(",") if each)
    return [(int(slot), int(pid)) for slot, _, pid in parts]
