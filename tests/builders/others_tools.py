"""What others made and tests judge by: Debian's promtool and Prometheus, CRDs of kinds that are not ours.

In: `kind/promtool.sh` and `kind/foreign-crds.sh`, which fetch once into the cache. Out: directories; where
one cannot be had, the sentence that the script ended with, and tests that need it are skipped with it.
"""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = "what others made is not here"
"""How each skip's reason begins: tests/conftest.py counts them at the end of a run."""


class MissingError(RuntimeError):
    """It cannot be had on this machine; the message says why."""


@cache
def _fetched(script: str) -> Path | str:
    done = subprocess.run([ROOT / "kind" / script], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else done.stderr.strip()


def _directory(script: str) -> Path:
    found = _fetched(script)
    if isinstance(found, str):
        raise MissingError(f"{SKIPPED}: {found}")
    return found


def prometheus_programs() -> Path:
    """The directory that has `prometheus` and `promtool`; raises MissingError."""
    return _directory("promtool.sh")


def foreign_crds() -> list[dict[str, Any]]:
    """CRDs of prometheus-operator, cert-manager, KEDA, NodeResourceTopology; raises MissingError."""
    return [yaml.safe_load(path.read_text()) for path in sorted(_directory("foreign-crds.sh").iterdir())]
