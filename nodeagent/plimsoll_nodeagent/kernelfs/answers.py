"""What the kernel answers: why there is no text, how a write or a call ended.

In: an `OSError` of the kernel. Out: an `Absence` for a read, an `Answer` for a write or a call. Both are
values and never exceptions, so that each caller has to say what it does about EPERM, EBUSY or EAGAIN.
"""

import errno
from enum import StrEnum


class Absence(StrEnum):
    """Why a kernel file gave no text (or none that can be believed)."""

    GONE = "gone"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    BUSY = "busy"
    TORN = "torn"
    GARBLED = "garbled"


class Answer(StrEnum):
    """How a write or a system call ended; only `DONE` and `PARTIAL` changed anything."""

    DONE = "done"
    PARTIAL = "partial"  # EAGAIN: less was done than was asked for
    BUSY = "busy"  # EBUSY, EINTR: somebody else holds it
    DENIED = "denied"  # EPERM, EACCES: a right is missing
    GONE = "gone"  # ENOENT, ENODEV, ESRCH: the cgroup or the process went away
    UNSUPPORTED = "unsupported"  # EINVAL, EOPNOTSUPP, ENOSYS: not on this kernel, or not with this value
    FULL = "full"  # ENOMEM, ENOSPC: no room, as with a full swap
    FAILED = "failed"  # anything else
    REFUSED = "refused"  # by ourselves, before the kernel was asked
    PLANNED = "planned"  # a dry run: noted, not done

    @property
    def acted(self) -> bool:
        """Whether the kernel may have changed something."""
        return self in (Answer.DONE, Answer.PARTIAL)


_ABSENCE_BY_ERRNO = {
    errno.ENOENT: Absence.GONE,
    errno.ENODEV: Absence.GONE,  # cgroupfs: removed after the file was opened
    errno.ENOTDIR: Absence.GONE,
    errno.ESRCH: Absence.GONE,
    errno.EPERM: Absence.DENIED,
    errno.EACCES: Absence.DENIED,
    errno.EOPNOTSUPP: Absence.UNSUPPORTED,  # PSI compiled in but switched off
    errno.EINVAL: Absence.UNSUPPORTED,
    errno.ENOSYS: Absence.UNSUPPORTED,
    errno.ENOTTY: Absence.UNSUPPORTED,  # an ioctl that this kernel does not know
}

_ANSWER_BY_ERRNO = {
    errno.EAGAIN: Answer.PARTIAL,
    errno.EBUSY: Answer.BUSY,
    errno.EINTR: Answer.BUSY,
    errno.EPERM: Answer.DENIED,
    errno.EACCES: Answer.DENIED,
    errno.EROFS: Answer.DENIED,  # mounted read-only in the pod
    errno.ENOENT: Answer.GONE,
    errno.ENODEV: Answer.GONE,
    errno.ENOTDIR: Answer.GONE,
    errno.ESRCH: Answer.GONE,
    errno.EINVAL: Answer.UNSUPPORTED,
    errno.EOPNOTSUPP: Answer.UNSUPPORTED,
    errno.ENOSYS: Answer.UNSUPPORTED,
    errno.ENOTTY: Answer.UNSUPPORTED,
    errno.ENOMEM: Answer.FULL,
    errno.ENOSPC: Answer.FULL,
}


def absence(error: OSError) -> Absence:
    """Say what an error of a read means; what is not known may go by (EAGAIN, EBUSY, EIO, ENOMEM)."""
    return _ABSENCE_BY_ERRNO.get(error.errno or 0, Absence.BUSY)


def answer(error: OSError) -> Answer:
    """Say what an error of a write or a call means."""
    return _ANSWER_BY_ERRNO.get(error.errno or 0, Answer.FAILED)
