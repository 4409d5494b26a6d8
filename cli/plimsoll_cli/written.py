"""Files that options ask for: seen to be possible before the work begins, and written after it.

In: a path. Out: the file, or a `FileError` that names it. A run of minutes whose result has nowhere to go is
refused before it starts.
"""

import os
from pathlib import Path

from plimsoll_cli.failure import FileError
from plimsoll_nodeagent.show import written


def can_be_written(path: Path | None) -> None:
    """Raise where `path` cannot become a file; None: none was asked for. Nothing is written yet."""
    if path is None:
        return
    if path.is_dir():
        raise FileError(f"{path}: is a directory; name a file")
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FileError(f"{path}: may not be written")


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
