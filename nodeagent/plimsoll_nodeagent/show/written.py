"""Files that a person asked for: seen to be possible before the work begins, whole or not at all after it.

In: a path, the inputs of the same command, bytes. Out: the file, or one sentence why not. One rule for every
command: a file that is there is replaced only where it is empty, or begins as an earlier file of the same
sort does. What is replaced is replaced by a rename once all has reached the disk, so that a full disk leaves
it as it was; a device or a pipe is never replaced.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import IO


class Holds(StrEnum):
    """What a file holds, by how it begins."""

    NOTHING = "nothing"
    PAGES = "a page trace (.pgt)"
    TABLE = "a Parquet file"
    ARRAYS = "an archive of arrays (.npz)"
    DATABASE = "a database"
    PICTURE = "a picture of Plimsoll's (.svg)"
    PAGE = "a page of Plimsoll's (.html)"
    OUTCOME = "an outcome of the sandbox (.json)"
    EXPORT = "an export of a memory (.jsonl)"
    OTHER = "what this command has never written"


_BEGINNINGS = (  # those of ours as their writers begin them
    (rb"\Z", Holds.NOTHING),
    (rb"PGT1", Holds.PAGES),
    (rb"PAR1", Holds.TABLE),
    (rb"PK\x03\x04", Holds.ARRAYS),
    (rb"SQLite format 3\0", Holds.DATABASE),
    (rb'<svg (class="rich-terminal" |[^>]*role="img"><title>Memory of )', Holds.PICTURE),
    (rb"<!doctype html><html lang=en><meta charset=utf-8><title>", Holds.PAGE),
    (rb'\{\n "seed": ', Holds.OUTCOME),
    (rb'\{"(digest|record|end)":', Holds.EXPORT),
)
_LOOKED_AT_BYTES = 512


def refusal(path: Path, holds: Holds, inputs: Iterable[Path] = ()) -> str | None:
    """Why `path` shall not become a file of this sort; None where it may. Nothing is written yet."""
    if path.is_dir():
        return f"{path}: is a directory; name a file"
    if not path.parent.is_dir():
        return f"{path}: there is no directory {path.parent}"
    if path.exists() and not path.is_file():
        return f"{path}: is no regular file; name another"
    for each in inputs:
        if path.exists() and each.exists() and path.samefile(each):
            return f"{path}: is what is read; name another file to write"
    target = path.resolve()
    # What is replaced by a rename needs a directory that may be written, and says itself whether it may.
    if not os.access(target.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return f"{path}: may not be written"
    found = held(path)
    return f"{path}: holds {found}; name another file" if found not in {Holds.NOTHING, holds} else None


def held(path: Path) -> Holds:
    """What a file holds, by its first bytes: NOTHING where there is none, OTHER where it cannot be read."""
    try:
        with path.open("rb") as file:
            first = file.read(_LOOKED_AT_BYTES)
    except FileNotFoundError:
        return Holds.NOTHING
    except OSError:
        return Holds.OTHER
    return next((holds for begins, holds in _BEGINNINGS if re.match(begins, first)), Holds.OTHER)


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file beside `path`, then take its place. Raises OSError; nothing changed then."""
    target = path.resolve()  # a link stays one
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        with partial.open("x+b") as file:
            if target.exists():
                shutil.copymode(target, partial)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
