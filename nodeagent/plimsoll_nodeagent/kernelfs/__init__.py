"""The only door to the kernel: files and system calls, read and (where it was told so) written.

In: paths as the kernel names them. Out: text or an `Absence`, an `Answer` for what was done. `KernelFs` opens
read-only unless it is told to act; `Mode.DRY_RUN` notes what would be done; `TwinKernel` is the same door to
a directory of fixtures. No other module of the agent may open a file of the kernel or make a system call.
"""

from plimsoll_nodeagent.kernelfs.answers import Absence, Answer, absence, answer
from plimsoll_nodeagent.kernelfs.calls import Advice, Calls, LinuxCalls, PageKind, PageRun, Ranges
from plimsoll_nodeagent.kernelfs.directory import KernelDirectory
from plimsoll_nodeagent.kernelfs.entries import Entry, Mode, Note, Trigger
from plimsoll_nodeagent.kernelfs.files import KernelFs
from plimsoll_nodeagent.kernelfs.held import HeldFile
from plimsoll_nodeagent.kernelfs.process import KernelProcess
from plimsoll_nodeagent.kernelfs.twin import TwinKernel, TwinProcess

__all__ = [
    "Absence",
    "Advice",
    "Answer",
    "Calls",
    "Entry",
    "HeldFile",
    "KernelDirectory",
    "KernelFs",
    "KernelProcess",
    "LinuxCalls",
    "Mode",
    "Note",
    "PageKind",
    "PageRun",
    "Ranges",
    "Trigger",
    "TwinKernel",
    "TwinProcess",
    "absence",
    "answer",
]
