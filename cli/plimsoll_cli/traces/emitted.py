"""Where decisions that `--emit` asks for may go: never over what is read, nor over anybody's recording.

In: the path of `--emit`, what the command reads, how the contract's file begins. Out: nothing, or a
`FileError` that names the file, before the first replay begins.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from plimsoll_cli.failure import FileError
from plimsoll_nodeagent.show.written import Holds, held, refusal


def can_be_emitted(path: Path | None, holds: Holds, inputs: Iterable[Path]) -> None:
    """Raise where decisions cannot or shall not be written to `path`; None: nobody asked for them."""
    if path is None:
        return
    if (why := refusal(path, holds, inputs)) is not None:
        raise FileError(why)
    if path.exists() and held(path) is holds and _is_recording(path, holds):
        raise FileError(f"{path}: holds a recording, or what cannot be read; name another file")


def _is_recording(path: Path, holds: Holds) -> bool:
    """Whether a file of that sort holds something else than decisions. What cannot be read is none of ours,
    for decisions are written whole.
    """
    try:
        if holds is Holds.TABLE:
            return "limit_bytes" not in pq.read_schema(path).names
        with zipfile.ZipFile(path) as archive:
            return not any(name.startswith(("epoch.", "victims_")) for name in archive.namelist())
    except (OSError, pa.ArrowException, zipfile.BadZipFile):
        return True
