"""A kubeconfig as the `kubernetes` client's configuration, or one sentence that says what is wrong with it.

In: the file or files that a person named. Out: address, certificates and tokens. The client's own loader
trips over a broken file with whatever error comes first, and goes on without credentials where a credential
plugin is missing: here both end with the file's name.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config

from plimsoll_cli.failure import ClusterError

LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}


def configuration_in(file: str, context: str) -> Configuration:
    """Read it. Raises ClusterError."""
    configuration = Configuration()
    try:
        with _logged_errors() as errors:
            load_kube_config(file, context=context or None, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (AttributeError, TypeError, KeyError, IndexError) as error:
        raise ClusterError(f"kubeconfig {file} {_misshapen(file)}") from error
    except Exception as error:  # the loader raises whatever a broken file makes it trip over
        raise ClusterError(f"kubeconfig {file}: {_line(str(error) or type(error).__name__)}") from error
    if errors:  # the loader would go on without credentials
        raise ClusterError(f"kubeconfig {file}: {_line(errors[0])}")
    return configuration


@contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Keep what is logged as an error meanwhile, in place of its being printed."""
    found: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    root = logging.getLogger()
    before = root.handlers
    root.handlers = [Kept(logging.ERROR)]
    try:
        yield found
    finally:
        root.handlers = before


def _line(text: str) -> str:
    return " ".join(text.split())


def _misshapen(file: str) -> str:
    """What of it is not as it has to be, as far as its outline tells."""
    paths = [Path(each).expanduser() for each in file.split(os.pathsep)]
    for path in paths:
        try:
            found = _wrong_in(yaml.safe_load(path.read_text("utf-8"))) if path.is_file() else ""
        except Exception as error:  # noqa: BLE001 - PyYAML trips over a value that is none of its tag
            return f"is not YAML that can be read: {_line(str(error) or type(error).__name__)}"
        if found:
            return found
    return "is not as a kubeconfig has to be"


def _wrong_in(document: object) -> str:
    if not isinstance(document, dict):
        return "is no kubeconfig: it holds no mapping"
    for plural, kind in LISTS.items():
        entries = document.get(plural)
        if not isinstance(entries, list):
            return f"has no list `{plural}`"
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                return f"has an entry of `{plural}` without a name"
            if not isinstance(entry.get(kind), dict):
                return f"has no mapping `{kind}` in {entry['name']!r} of `{plural}`"
            server = entry[kind].get("server", "")
            if not isinstance(server, str):
                return f"has in {entry['name']!r} the server {server!r}, which is no address"
    return ""
