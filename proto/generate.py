"""Write the Python of proto/plimsoll_proto anew: `make proto`.

In: the `.proto` files below this directory. Out: `*_pb2.py` and `*_pb2.pyi` beside them, or below another
directory (for the test that compares), by the protoc of the locked grpcio-tools. With `--release` also the
descriptors that later changes must not break: `released.binpb`, read by `buf breaking`.
"""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
RELEASED = HERE / "released.binpb"


def sources() -> list[str]:
    """The .proto files, by their names below this directory."""
    return sorted(str(each.relative_to(HERE)) for each in HERE.glob("plimsoll_proto/*/*.proto"))


def generate(out: Path, released: Path | None = None) -> None:
    """Generate below `out`. Raises RuntimeError where protoc refuses."""
    included = str(files("grpc_tools") / "_proto")
    wanted = [f"--python_out={out}", f"--pyi_out={out}"]
    if released is not None:
        wanted += [f"--descriptor_set_out={released}", "--include_imports"]
    if protoc.main(["protoc", f"-I{HERE}", f"-I{included}", *wanted, *sources()]):
        raise RuntimeError("protoc refused the .proto files")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--release", action="store_true")
    options = parser.parse_args()
    generate(options.out, RELEASED if options.release else None)


if __name__ == "__main__":
    sys.exit(main())
