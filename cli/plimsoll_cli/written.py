"""Files that options ask for: seen to be possible before the work begins, and written after it.

In: a path, what it shall hold and what the command reads. Out: the file, or a `FileError` that names it. A
run of minutes whose result has nowhere to go, or would take the place of something else, is refused before
it starts.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from plimsoll_cli.failure import FileError
from plimsoll_nodeagent.show import written
from plimsoll_nodeagent.show.written import Holds, refusal


def can_be_written(path: Path | None, holds: Holds, inputs: Iterable[Path] = ()) -> None:
    """Raise where `path` cannot or shall not become a file of this sort; None: none was asked for.

    A pipe or a terminal may be written to. Nothing is written yet.
    """
    if path is None:
        return
    if path.exists() and not path.is_file() and not path.is_dir():
        if not os.access(path, os.W_OK):
            raise FileError(f"{path}: may not be written")
    elif (why := refusal(path, holds, inputs)) is not None:
        raise FileError(why)


def write_file(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_whole(path, text.encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write aside and rename, so that a full disk leaves what was there before as it was.

    A link is followed; what is no regular file (a pipe, a terminal) is written to as it is.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            written.write_whole(path, lambda file: file.write(data))
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
