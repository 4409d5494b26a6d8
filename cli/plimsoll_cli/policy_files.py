"""Policy files: YAML of one or many documents, read as kubectl reads it.

In: a path (`-` is standard input). Out: its documents, or a `FileError` that names the file. `policy check`
and the sandbox read policies here. A list, as `kubectl get -o yaml` writes it, is all that is in it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from plimsoll.api.v1alpha1 import API_VERSION, KINDS
from plimsoll_cli.failure import FileError
from plimsoll_cli.kube_yaml import documents

# Kinds of lists, and which kind their items are that do not say.
LISTS = {"v1 List": "", **{f"{API_VERSION} {kind.name}List": kind.name for kind in KINDS}}


def documents_in(path: str) -> Iterator[object]:
    """The documents of a file and of its lists; empty ones are left out, as kubectl does."""
    try:
        for document in documents(_text(path)):
            yield from _flat(path, document)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise FileError(f"{path} is nested too deeply to be a policy") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _text(path: str) -> str:
    if path != "-":
        return Path(path).read_text("utf-8")
    if sys.stdin is None:
        raise FileError("-: standard input is closed")
    return sys.stdin.read()


def _flat(path: str, document: object) -> Iterator[object]:
    """The document, or what it lists; items of a list of one kind need not say their kind."""
    if not isinstance(document, dict):
        yield from () if document is None else (document,)
        return
    kind = f"{document.get('apiVersion')} {document.get('kind')}"
    if kind not in LISTS:
        yield document
        return
    items, of_one = document.get("items"), LISTS[kind]
    if not isinstance(items, list):
        raise FileError(f"{path}: the items of a {kind} have to be a list")
    for item in items:
        unsaid = {"apiVersion": API_VERSION, "kind": of_one} if of_one else {}
        yield from _flat(path, unsaid | item if isinstance(item, dict) else item)
