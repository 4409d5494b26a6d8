"""A command under a seccomp profile, as a container runtime would start it: `seccomp.py PROFILE COMMAND...`.

In: a profile in the runtime's JSON. Out: the command in our place, with the filter on. libseccomp makes the
filter, as it does for runc; names of system calls that this machine's kernel or libseccomp does not know are
passed over, as runc does too.
"""

import ctypes
import ctypes.util
import errno
import json
import os
import sys
from pathlib import Path

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
COMPARE = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
UNKNOWN = -1


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Comparison),
    ]  # fmt: skip
    return library


def _comparison(given: dict) -> Comparison:
    """A masked comparison has the mask in `value` and what it must give in `valueTwo`."""
    return Comparison(given["index"], COMPARE[given["op"]], given["value"], given.get("valueTwo", 0))


def put_on(profile: dict) -> None:
    """Put the filter on this process, for ever."""
    library = _library()
    context = library.seccomp_init(ERRNO | profile["defaultErrnoRet"])
    for rule in profile["syscalls"]:
        arguments = [_comparison(each) for each in rule.get("args", ())]
        array = (Comparison * len(arguments))(*arguments)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == UNKNOWN:
                continue
            code = library.seccomp_rule_add_array(context, ALLOW, number, len(arguments), array)
            # EDOM: a call of another architecture.
            if code not in (0, -errno.EDOM):
                raise OSError(-code, f"seccomp rule for {name}: {os.strerror(-code)}")
    if code := library.seccomp_load(context):
        raise OSError(-code, f"seccomp filter not loaded: {os.strerror(-code)}")


if __name__ == "__main__":
    put_on(json.loads(Path(sys.argv[1]).read_text()))
    os.execv(sys.argv[2], sys.argv[2:])
