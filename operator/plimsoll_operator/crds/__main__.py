"""`python -m plimsoll_operator.crds [DIRECTORY...]`: write the CRD YAML from the typed models (`make crds`).

In: the models. Out: one file a kind in each directory, by default beside this module; files of kinds that are
gone are removed.
"""

import sys
from pathlib import Path

from plimsoll_operator.crds import rendered


def write(directory: Path) -> None:
    """Write every CRD into `directory`, and only them."""
    wanted = rendered()
    for stale in directory.glob("*.yaml"):
        if stale.name not in wanted:
            stale.unlink()
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")
        print(directory / name)


if __name__ == "__main__":
    for directory in sys.argv[1:] or (Path(__file__).parent,):
        write(Path(directory))
