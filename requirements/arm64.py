"""Which wheel each image would install on linux/arm64: `requirements/arm64.json`, written by `make lock`.

In: the images' locks, and a package index to ask which files a pinned version has. Out: for each pin its
wheel's name and hash. Source distributions are refused (--only-binary), as in the Dockerfiles, so a package
without a wheel for arm64 ends `make lock` with uv's sentence. Nothing is downloaded but metadata, and no
address is kept. tests/chart/test_image_wheels.py holds the file against the locks, without a network.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).parent
LOCKS = ("agent", "build", "operator", "operator-forecast")
RECORD = HERE / "arm64.json"
PLATFORM = "aarch64-manylinux_2_28"
BASE = re.compile(r"^ARG BASE=python:(\d+\.\d+)-", re.MULTILINE)


def python_version() -> str:
    """The Python of the Dockerfiles' base image."""
    (found,) = {
        each[1]
        for directory in ("operator", "nodeagent")
        if (each := BASE.search((HERE.parent / directory / "Dockerfile").read_text()))
    }
    return found


def wheels(lock: Path, python: str, uv: str) -> dict[str, dict[str, str]]:
    """Pin -> its wheel's file name and SHA-256; raises CalledProcessError where uv finds none."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "pylock.toml")
        wanted = f"--no-deps --only-binary :all: --python-platform {PLATFORM} --python-version {python}"
        command = [uv, *["pip", "compile", "--quiet", "--format", "pylock.toml"], *wanted.split()]
        subprocess.run([*command, str(lock), "-o", str(out)], check=True)  # noqa: S603 -- our own arguments
        locked = tomllib.loads(out.read_text())["packages"]
    return {
        f"{each['name']}=={each['version']}": {
            "wheel": unquote(urlsplit(each["wheels"][0]["url"]).path).rpartition("/")[2],
            "sha256": each["wheels"][0]["hashes"]["sha256"],
        }
        for each in locked
    }


def main(uv: str) -> None:
    """Ask for every lock, and write the record."""
    python = python_version()
    found = {name: wheels(HERE / f"{name}.lock", python, uv) for name in LOCKS}
    whole = {"platform": PLATFORM, "python": python, "locks": found}
    RECORD.write_text(json.dumps(whole, indent=1) + "\n")
    print(f"{RECORD.name}: " + ", ".join(f"{name} {len(each)}" for name, each in found.items()))


if __name__ == "__main__":
    main(sys.argv[1])
