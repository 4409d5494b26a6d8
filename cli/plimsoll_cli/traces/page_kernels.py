"""The door to compiled page replays: `page_replays()` gives the module, or says which extra is missing.

numba keeps what it compiled on disk, but notices a change only in a function's own file, not in what it
calls. So the cache lies in a directory named after the sources of all kernels together.
"""

import hashlib
import importlib
import os
import tempfile
from importlib import resources
from pathlib import Path
from types import ModuleType

from plimsoll_cli.failure import extra_needed

KERNELS = "plimsoll.replay.page_kernels"
# What the kernels compile from the agent's side of the house.
SHARED = ("expert_guard.py", "page_history.py", "reuse_features.py", "reuse_predictor.py")


def page_replays(command: str, module: str = "plimsoll.replay.pages") -> ModuleType:
    """The module that replays page traces. Raises ExtraNeededError on behalf of `command` without numba."""
    try:
        keep_compiled()
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise extra_needed(error, command, "bench") or error from error


def keep_compiled() -> Path:
    """Tell numba where to keep what it compiles; before any kernel is imported."""
    import numba  # noqa: PLC0415  (an extra)

    directory = _cache() / f"page-kernels-{fingerprint()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError:
        directory = Path(tempfile.mkdtemp(prefix="plimsoll-kernels-"))
    vars(numba.config)["CACHE_DIR"] = str(directory)  # not in its stubs
    return directory


def fingerprint() -> str:
    """A name for the kernels as they are now."""
    digest = hashlib.sha256()
    kernels = [each for each in resources.files(KERNELS).iterdir() if each.name.endswith(".py")]
    shared = [resources.files("plimsoll.pages") / name for name in SHARED]
    for each in sorted([*kernels, *shared], key=lambda each: each.name):
        digest.update(each.name.encode() + b"\0" + each.read_bytes())
    return digest.hexdigest()[:16]


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return Path(
        os.environ.get("PLIMSOLL_CACHE") or (Path(home) if home else Path.home() / ".cache") / "plimsoll"
    )
