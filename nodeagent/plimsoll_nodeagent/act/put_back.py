"""Putting a cgroup's file back to what a record says, where nobody else has written it meanwhile.

In: a record of the journal, the file, which texts are ours. Out: how it ended: done, REFUSED where what
stands there is another's, GONE with its cgroup (or where its path is another's by now), BUSY where nobody can
tell, so that it is tried again.
"""

from collections.abc import Callable

from plimsoll_nodeagent.act.journal import Record
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs


def put_back(fs: KernelFs, record: Record, file: str, ours: Callable[[str], bool], before: str) -> Answer:
    """Write `before` into a file of the record's cgroup, if `ours` holds of what stands there."""
    directory = fs.open(str(record.subject["path"]))
    if isinstance(directory, Absence):
        return Answer.GONE if directory is Absence.GONE else Answer.BUSY
    with directory:
        if directory.inode != record.subject["inode"]:
            return Answer.GONE
        stands = directory.read(file)
        if isinstance(stands, Absence):
            return Answer.GONE if stands is Absence.GONE else Answer.BUSY
        return directory.write(file, before) if ours(stands) else Answer.REFUSED
