#!/usr/bin/env python3
"""make-image.py --name NAME --out OUT.tar --layer DIR|TAR ...: an OCI image archive without a container tool.

Each --layer is a directory, packed reproducibly and owned by root, or a tar that is taken as it is; `ctr
images import` takes the archive. Layers stay uncompressed, because unpacking is slow on an emulated node.
`--dockerfile FILE` takes labels, environment, user, ports and entry point from a Dockerfile's last stage, so
that an image has the same ones whoever makes it; `--build-arg NAME=VALUE` is as in `docker build`.
`--thin N` leaves out the data of the first N layers, for a node that has them from another image. There is no
timestamp in it: same layers and settings, same bytes.
"""

import argparse
import hashlib
import io
import json
import pathlib
import re
import shlex
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping

EPOCH = "1970-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
Blobs = dict[str, bytes | pathlib.Path]
Config = dict[str, object]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="with its tag, such as localhost/plimsoll/agent:1")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--layer", action="append", default=[], type=pathlib.Path)
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--label", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--entrypoint", type=json.loads, default=[], help="a JSON list")
    parser.add_argument("--command", type=json.loads, default=[], help="a JSON list")
    parser.add_argument("--user", default="", help="uid:gid")
    parser.add_argument("--dockerfile", type=pathlib.Path, help="take all of these from its last stage")
    parser.add_argument("--build-arg", action="append", default=[], help="NAME=VALUE, for --dockerfile")
    parser.add_argument("--thin", type=int, default=0, metavar="N", help="leave out the first N layers' data")
    return parser.parse_args()


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield a Dockerfile's instructions with what follows them, continued lines joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield word.upper(), rest.strip()


def last_stage(text: str, given: Mapping[str, str]) -> Config:
    """Return the configuration that an image gets from its Dockerfile's last stage."""
    before: dict[str, str] = {}  # arguments that stand before the first FROM
    known = before
    config, labels, environment = Config(), dict[str, str](), dict[str, str]()
    for word, rest in instructions(text):
        if word == "FROM":
            known = {}
            config, labels, environment = Config(), {}, {}
        elif word == "ARG":
            name, _, default = rest.partition("=")
            own = filled("".join(shlex.split(default)), {**before, **known})
            known[name] = given.get(name) or own or before.get(name, "")
        elif word == "LABEL":
            labels |= pairs(filled(rest, known))
        elif word == "ENV":
            environment |= pairs(filled(rest, known))
        elif word == "USER":
            config["User"] = filled(rest, known)
        elif word == "EXPOSE":
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in filled(rest, known).split()}
        elif word in ("ENTRYPOINT", "CMD"):
            config["Entrypoint" if word == "ENTRYPOINT" else "Cmd"] = json.loads(rest)
    variables = [f"{name}={value}" for name, value in environment.items()]
    return {**config, "WorkingDir": "/", "Env": variables or [PATH], "Labels": labels}


def filled(text: str, names: Mapping[str, str]) -> str:
    """Return a text with its $VARIABLES and ${VARIABLES}; what nobody has set is empty."""
    return VARIABLE.sub(lambda match: names.get(match[1] or match[2], ""), text)


def pairs(text: str) -> dict[str, str]:
    """Return the NAME=VALUE pairs of LABEL and ENV."""
    split = (each.partition("=") for each in shlex.split(text))
    return {name: value for name, _, value in split}


def digest_of(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop from a member what depends on who packs it, and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def packed(layer: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Return the layer as a tar: itself, or the directory packed at `target`."""
    if not layer.is_dir():
        return layer
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(layer.iterdir()):
            tar.add(entry, arcname=entry.name, filter=anonymous)
    return target


def put(blobs: Blobs, value: object, media_type: str) -> dict[str, object]:
    """Add a JSON document to the blobs and return its descriptor."""
    data = json.dumps(value, separators=(",", ":")).encode()
    digest = hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def configuration(options: argparse.Namespace) -> Config:
    """Return how the image's program is started and what it is called: from options, or from a Dockerfile."""
    if options.dockerfile:
        given = dict(each.split("=", 1) for each in options.build_arg)
        return last_stage(options.dockerfile.read_text(), given)
    return {
        "Env": options.env or [PATH],
        "Entrypoint": options.entrypoint,
        "Cmd": options.command,
        "WorkingDir": "/",
        "User": options.user,
        "Labels": dict(label.split("=", 1) for label in options.label),
    }


def documents(options: argparse.Namespace, layers: list[pathlib.Path], blobs: Blobs) -> dict[str, object]:
    """Add configuration, manifest and layers to the blobs; return the index."""
    kind = "application/vnd.oci.image"
    digests = [digest_of(layer) for layer in layers]
    blobs.update(list(zip(digests, layers, strict=True))[options.thin :])
    names = [f"sha256:{digest}" for digest in digests]
    config = configuration(options)
    platform = {"architecture": "amd64", "os": "linux"}
    history = [{"created": EPOCH, "created_by": "make-image.py"} for _ in layers]
    root = {"type": "layers", "diff_ids": names}
    whole = {**platform, "created": EPOCH, "config": config, "rootfs": root, "history": history}
    descriptors = [
        {"mediaType": f"{kind}.layer.v1.tar", "digest": name, "size": layer.stat().st_size}
        for name, layer in zip(names, layers, strict=True)
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": put(blobs, whole, f"{kind}.config.v1+json"),
        "layers": descriptors,
    }
    names_of_image = {
        "io.containerd.image.name": options.name,
        "org.opencontainers.image.ref.name": options.name.rsplit(":", 1)[-1],
    }
    described = put(blobs, manifest, f"{kind}.manifest.v1+json")
    entry = {**described, "platform": platform, "annotations": names_of_image}
    return {"schemaVersion": 2, "mediaType": f"{kind}.index.v1+json", "manifests": [entry]}


def write(target: pathlib.Path, index: dict[str, object], blobs: Blobs) -> None:
    """Write the archive whole or not at all."""
    members: Blobs = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index).encode(),
    }
    members |= {f"blobs/sha256/{digest}": blob for digest, blob in blobs.items()}
    part = target.with_name(target.name + ".part")
    with tarfile.open(part, "w") as tar:
        for name, blob in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(blob, bytes):
                member.size = len(blob)
                tar.addfile(member, io.BytesIO(blob))
                continue
            member.size = blob.stat().st_size
            with blob.open("rb") as file:
                tar.addfile(member, file)
    part.rename(target)


def main() -> None:
    """Make one image."""
    options = arguments()
    with tempfile.TemporaryDirectory(dir=options.out.parent) as scratch:
        layers = [packed(each, pathlib.Path(scratch, str(i))) for i, each in enumerate(options.layer)]
        blobs: Blobs = {}
        index = documents(options, layers, blobs)
        write(options.out, index, blobs)
    print(f"{options.name}: {options.out.stat().st_size >> 10} KiB", file=sys.stderr)


if __name__ == "__main__":
    main()
