"""The CRDs as YAML, one file a kind, shipped with the package and written by `python -m
plimsoll_operator.crds`.

In: `plimsoll.api.crd`. Out: the text of each file; `load()` gives what is shipped, so that the sandbox,
the tests and the chart install the very same objects.
"""

from importlib.resources import files
from typing import Any

import yaml

from plimsoll.api.crd import crds

HEADER = "# Made from core/plimsoll/api by `make crds`; do not edit.\n"


class _Plain(yaml.SafeDumper):
    """Writes what is used twice twice: kubectl reads anchors, people do not."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML asks it of every value
        return True


def rendered() -> dict[str, str]:
    """File name -> YAML as the models ask for it now."""
    return {name: HEADER + yaml.dump(crd, Dumper=_Plain, sort_keys=False, width=110) for name, crd in crds()}


def shipped() -> dict[str, str]:
    """File name -> YAML as it lies in the package."""
    return {
        each.name: each.read_text("utf-8")
        for each in files(__name__).iterdir()
        if each.name.endswith(".yaml")
    }


def load() -> list[dict[str, Any]]:
    """The shipped CRDs as objects, ready to be applied."""
    return [yaml.safe_load(text) for _, text in sorted(shipped().items())]
