"""The chart of a former release, as it was released.

In: `tests/e2e/released/plimsoll-VERSION.tgz`, and the commit and git tree it was packed from in the `.json`
beside it. Out: the chart in a directory; what today's values are to it. A clone needs no tag and no history
for that; where it has the commit, tests/chart/test_released.py compares the two.

`python tests/builders/released.py COMMIT` (`make released-chart`) packs one more, when a version is
released.
"""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from gzip import GzipFile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RELEASED = ROOT / "tests/e2e/released"
PREVIOUS = "0.1.0"
"""The version that this checkout's chart is an upgrade of."""
PREFIX = "plimsoll"

Tree = dict[str, Any]


@dataclass(frozen=True)
class ReleasedChart:
    """One release's chart."""

    version: str = PREVIOUS

    @property
    def archive(self) -> Path:
        """The packed chart."""
        return RELEASED / f"plimsoll-{self.version}.tgz"

    @property
    def origin(self) -> dict[str, str]:
        """The commit, and the git tree of its charts/plimsoll."""
        read: dict[str, str] = json.loads(self.archive.with_suffix(".json").read_text())
        return read

    def unpacked(self, directory: Path) -> Path:
        """The chart as a directory below this one."""
        with tarfile.open(self.archive) as tar:
            tar.extractall(directory, filter="data")
        return directory / PREFIX


def patient(chart: Path) -> None:
    """Let its operator take as long to start as today's may, for nodes that are emulated.

    0.1.0 waited for 90 failures of the start-up probe, which was then made 300: on such a node the operator
    was killed before it had started.
    """
    template = chart / "templates/operator/deployment.yaml"
    before, short, after = template.read_text().partition("failureThreshold: 90\n")
    assert short
    template.write_text(f"{before}failureThreshold: 300\n{after}")


def known(values: Mapping[str, Any], chart: Path) -> dict[str, Any]:
    """Values without those that this chart has not heard of, which its schema would refuse."""
    return _known(values, yaml.safe_load((chart / "values.yaml").read_text()))


def _known(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        if name not in defaults:
            continue
        below = defaults[name]
        kept[name] = _known(value, below) if isinstance(value, dict) and below else value
    return kept


def tree_id(archive: Path) -> str:
    """The id that git gives to the tree which the archive holds: SHA-1 over its blobs and trees."""
    whole: Tree = {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            assert file is not None, f"{member.name} is no file"
            *above, name = Path(member.name).relative_to(PREFIX).parts
            place = whole
            for each in above:
                place = place.setdefault(each, {})
            place[name] = (b"100644", _object_id(b"blob", file.read()))
    return _tree_id(whole).hex()


def _tree_id(tree: Tree) -> bytes:
    entries = []
    for name, each in tree.items():
        mode, identity = (b"40000", _tree_id(each)) if isinstance(each, dict) else each
        # git sorts a directory as if its name ended with a slash.
        order = name.encode() + (b"/" if mode == b"40000" else b"")
        entries.append((order, mode + b" " + name.encode() + b"\0" + identity))
    return _object_id(b"tree", b"".join(entry for _, entry in sorted(entries)))


def _object_id(kind: bytes, data: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0%s" % (kind, len(data), data), usedforsecurity=False).digest()


def packed(commit: str) -> bytes:
    """The commit's charts/plimsoll as a tar: sorted, owned by nobody, without times."""
    made = io.BytesIO()
    listed = git("ls-tree", "-r", "-z", "--name-only", f"{commit}:charts/plimsoll").decode()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(filter(None, listed.split("\0"))):
            data = git("cat-file", "blob", f"{commit}:charts/plimsoll/{name}")
            member = tarfile.TarInfo(f"{PREFIX}/{name}")
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def git(*words: str) -> bytes:
    """What git prints; raises where it fails."""
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=True).stdout


def has_commit(commit: str) -> bool:
    """Whether this checkout is a clone that reaches back so far."""
    asked = ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def main(commit: str) -> None:
    """Pack the chart of a commit, and write down where it came from."""
    about = yaml.safe_load(git("show", f"{commit}:charts/plimsoll/Chart.yaml"))
    chart = ReleasedChart(about["version"])
    RELEASED.mkdir(exist_ok=True)
    with chart.archive.open("wb") as file, GzipFile("", "wb", 9, file, mtime=0) as zipped:
        zipped.write(packed(commit))
    whole, tree = (git("rev-parse", name).decode().strip() for name in (commit, f"{commit}:charts/plimsoll"))
    chart.archive.with_suffix(".json").write_text(
        json.dumps({"commit": whole, "tree": tree}, indent=1) + "\n"
    )
    print(f"{chart.archive.relative_to(ROOT)}: {chart.archive.stat().st_size} bytes, tree {tree}")


if __name__ == "__main__":
    main(sys.argv[1])
