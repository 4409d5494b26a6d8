"""An image that is put together without docker is called and started as its Dockerfile says.

In: the real Dockerfiles, a small layer. Out: the configuration that a runtime reads from the archive.
"""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "kind/vm/make-image.py"
DIRECTORIES = {"operator": "operator", "agent": "nodeagent"}
BUILD_ARGS = ("--build-arg", "VERSION=9.8.7", "--build-arg", "REVISION=abc123")


def made(directory: Path, *options: str | Path) -> dict[str, Any]:
    """The configuration in an archive of one layer; every digest on the way to it is checked."""
    layer = directory / "layer"
    layer.mkdir(exist_ok=True)
    (layer / "file").write_text("content")
    out = directory / "image.tar"
    command = [sys.executable, PROGRAM, "--name", "localhost/x:1", "--out", out, "--layer", layer, *options]
    subprocess.run([str(each) for each in command], check=True, capture_output=True)
    with tarfile.open(out) as archive:

        def blob(descriptor: dict[str, str]) -> dict[str, Any]:
            digest = descriptor["digest"].removeprefix("sha256:")
            data = archive.extractfile(f"blobs/sha256/{digest}").read()
            assert hashlib.sha256(data).hexdigest() == digest
            return json.loads(data)

        (entry,) = json.loads(archive.extractfile("index.json").read())["manifests"]
        return blob(blob(entry)["config"])["config"]


def dockerfile(image: str) -> Path:
    return ROOT / DIRECTORIES[image] / "Dockerfile"


@pytest.mark.parametrize("image", DIRECTORIES)
def test_labels_are_the_dockerfiles_with_what_was_given(tmp_path: Path, image: str):
    more = ("BASE=a/base:1", "BASE_DIGEST=sha256:ab", "CREATED=2026-11-22T03:00:00+00:00", "SOURCE=a.example")
    given = (*BUILD_ARGS, *(word for each in more for word in ("--build-arg", each)))
    labels = made(tmp_path, "--dockerfile", dockerfile(image), *given)["Labels"]
    stage = dockerfile(image).read_text().rpartition("FROM ")[2]
    assert set(labels) == set(re.findall(r'^(?:LABEL)?\s+([\w.]+)="', stage, re.MULTILINE))
    assert len(labels) >= 8
    assert labels["org.opencontainers.image.title"] == f"plimsoll-{image}"
    assert labels["org.opencontainers.image.version"] == "9.8.7"
    assert labels["org.opencontainers.image.revision"] == "abc123"
    assert labels["org.opencontainers.image.base.name"] == "a/base:1"
    assert labels["org.opencontainers.image.base.digest"] == "sha256:ab"
    assert labels["org.opencontainers.image.created"] == "2026-11-22T03:00:00+00:00"
    assert labels["org.opencontainers.image.source"] == "a.example"
    assert labels["dev.plimsoll.lock"] == f"/opt/plimsoll/{image}.lock"
    assert not any("$" in value for value in labels.values())


@pytest.mark.parametrize("image", DIRECTORIES)
def test_what_nobody_gives_is_the_dockerfiles_default(tmp_path: Path, image: str):
    labels = made(tmp_path, "--dockerfile", dockerfile(image))["Labels"]
    (base,) = re.findall(r"^ARG BASE=(.+)$", dockerfile(image).read_text(), re.MULTILINE)
    assert labels["org.opencontainers.image.base.name"] == base
    assert labels["org.opencontainers.image.version"]
    for label in ("revision", "source", "created", "base.digest"):
        assert labels[f"org.opencontainers.image.{label}"] == ""


@pytest.mark.parametrize(
    ("image", "ports"), [("operator", {"8080/tcp", "8443/tcp"}), ("agent", {"9477/tcp"})]
)
def test_it_is_started_as_the_dockerfile_says(tmp_path: Path, image: str, ports: set[str]):
    config = made(tmp_path, "--dockerfile", dockerfile(image), *BUILD_ARGS)
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == [f"/opt/plimsoll/bin/plimsoll-{image}"]
    assert set(config["ExposedPorts"]) == ports
    assert config["Env"] == [
        "PATH=/opt/plimsoll/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED=1",
        "PYTHONDONTWRITEBYTECODE=1",
    ]


def test_only_the_last_stage_counts_and_lines_go_on(tmp_path: Path):
    file = tmp_path / "Dockerfile"
    file.write_text(
        "ARG BASE=one:1\nFROM ${BASE} AS build\nLABEL from=build\nUSER 1\n"
        'FROM ${BASE}\nARG BASE\nARG WHO="some body"\n'
        '# a remark\nLABEL base="$BASE" \\\n  # within\n  who="${WHO}"\n'
        'CMD ["run"]\n'
    )
    config = made(tmp_path, "--dockerfile", file)
    assert config["Labels"] == {"base": "one:1", "who": "some body"}
    assert config["Cmd"] == ["run"]
    assert "User" not in config


def test_options_alone_make_an_image_too(tmp_path: Path):
    config = made(tmp_path, "--entrypoint", '["/pause"]', "--user", "65535:65535", "--label", "a=b=c")
    assert (config["Entrypoint"], config["User"]) == (["/pause"], "65535:65535")
    assert config["Labels"] == {"a": "b=c"}
