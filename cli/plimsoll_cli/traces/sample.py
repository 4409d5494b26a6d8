"""Where the sample of recorded traces is that ships with Plimsoll, and what it is made of."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any


def sample_directory() -> Path:
    """The directory of the sample's Parquet files;
    licences and classes are in `sample.json` and README.md there.
    """
    return Path(str(files("plimsoll_cli.sandbox"))) / "data"


def sample_facts() -> dict[str, Any]:
    """Seed, sources, licences and series of the sample."""
    facts: dict[str, Any] = json.loads((sample_directory() / "sample.json").read_text())
    return facts
