"""Policy files: YAML of one or many documents, read as strictly as an API server reads it.

In: a path (`-` is standard input). Out: its documents, or a `FileError` that names the file. `policy check`
and the sandbox read policies here.
"""

import sys
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from plimsoll_cli.failure import FileError


class _OneOfEach(yaml.SafeLoader):
    """Refuses a key that is there twice, as the API server does; PyYAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def documents_in(path: str) -> Iterator[object]:
    """The documents of a file; empty ones are left out, as kubectl does."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
        yield from (each for each in yaml.load_all(text, Loader=_OneOfEach) if each is not None)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise FileError(f"{path} is nested too deeply to be a policy") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
