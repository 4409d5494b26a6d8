"""Every package that an image would install on linux/arm64 has a wheel there, whose hash the lock pins.

In: the locks, and requirements/arm64.json, which `make lock` writes from what a package index said. Out:
nothing is fetched here; a lock that changed without its record fails.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[2]
RECORD: dict[str, Any] = json.loads((ROOT / "requirements/arm64.json").read_text())
IMAGE_LOCKS = ("agent", "build", "operator", "operator-forecast")
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)(?: ; ([^\\\n]+))?((?: ?\\\n +--hash=sha256:[0-9a-f]{64})+)",
    re.MULTILINE,
)


@cache
def tags() -> frozenset[Tag]:
    """What the pip of the images' base would take on arm64: glibc 2.28 and older."""
    version = tuple(int(each) for each in RECORD["python"].split("."))
    platforms = [*(f"manylinux_2_{minor}_aarch64" for minor in range(17, 29)), "manylinux2014_aarch64"]
    interpreter = f"cp{version[0]}{version[1]}"
    return frozenset(
        (*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms))
    )


def pins(lock: str) -> dict[str, set[str]]:
    """name==version -> hashes, of what applies to arm64 with the images' Python."""
    there = {
        "python_version": RECORD["python"],
        "python_full_version": f"{RECORD['python']}.0",
        "platform_machine": "aarch64",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    assert len(PIN.findall(text)) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE))
    return {
        f"{canonicalize_name(name)}=={version}": set(re.findall(r"[0-9a-f]{64}", hashes))
        for name, version, marker, hashes in PIN.findall(text)
        if not marker or Marker(marker).evaluate(there)
    }


def test_every_lock_that_a_dockerfile_installs_is_in_the_record():
    named = set()
    for directory in ("operator", "nodeagent"):
        text = (ROOT / directory / "Dockerfile").read_text()
        named |= set(re.findall(r"requirements/([\w-]+)\.lock", text))
        assert f"ARG BASE=python:{RECORD['python']}-" in text
        assert "requirements/arm64.json" in text
    assert named == set(IMAGE_LOCKS) == RECORD["locks"].keys()


@pytest.mark.parametrize("lock", IMAGE_LOCKS)
def test_every_locked_package_has_a_wheel_for_arm64(lock: str):
    recorded, pinned = RECORD["locks"][lock], pins(lock)
    assert recorded.keys() == pinned.keys(), "run `make lock-arm64`"
    for pin, row in recorded.items():
        name, version, _, offered = parse_wheel_filename(row["wheel"])
        assert f"{name}=={version}" == pin
        assert offered & tags(), f"{row['wheel']} does not run there"
        assert row["sha256"] in pinned[pin], f"{row['wheel']} is not what the lock pins"


def test_a_wheel_of_another_machine_would_be_noticed():
    for name in ("x-1-cp313-cp313-manylinux_2_28_x86_64.whl", "x-1-cp312-cp312-manylinux_2_28_aarch64.whl"):
        assert not parse_wheel_filename(name)[3] & tags()
    assert parse_wheel_filename("x-1-cp310-abi3-manylinux2014_aarch64.whl")[3] & tags()


def test_the_record_has_no_address():
    assert "://" not in json.dumps(RECORD)
