"""Policies that a person brings into a sandbox, refused as an API server would refuse them.

In: a YAML file. Out: documents for the sandbox's API, or a sentence. The sandbox's own API stores what it is
given, so what `plimsoll policy check` calls an error must end the run before it begins: a policy that nothing
follows would look like an operator that does nothing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from plimsoll.api.check import Severity, check
from plimsoll.forecast.registry import POLICY_MODELS
from plimsoll_cli.failure import CommandError
from plimsoll_cli.policy_files import documents_in
from plimsoll_cli.sandbox.objects import DEFAULT_POLICY
from plimsoll_cli.sandbox.scenario import NAMESPACE

JsonObject = dict[str, Any]


def read_policies(path: Path | None) -> list[JsonObject]:
    """The policies in a YAML file, or the default: `InPlace` for all that runs in the demo's namespace.

    Raises `CommandError` with every reason for which an API server would not take the file.
    """
    if path is None:
        return [DEFAULT_POLICY]
    documents = [_in_the_demo(document) for document in documents_in(str(path))]
    if not documents:
        raise CommandError(f"{path}: there is no policy in this file")
    if reasons := [f"{path}#{number + 1}: {reason}" for number, reason in _reasons(documents)]:
        raise CommandError("; ".join(reasons))
    return [document for document in documents if isinstance(document, dict)]


def _in_the_demo(document: object) -> object:
    """A MemoryPolicy that names no namespace is meant for the demo's."""
    if isinstance(document, dict) and document.get("kind") == "MemoryPolicy":
        metadata = document.get("metadata")
        if isinstance(metadata, dict):
            return {**document, "metadata": {"namespace": NAMESPACE, **metadata}}
    return document


def _reasons(documents: Sequence[object]) -> Iterator[tuple[int, str]]:
    """Which document is refused, and why: by any API server, or for want of a place in the sandbox."""
    for found in check(documents, POLICY_MODELS):
        if found.severity is Severity.ERROR or found.path == "kind":
            yield found.document, f"{found.path} {found.message}".strip()
    for number, document in enumerate(documents):
        metadata = document.get("metadata") if isinstance(document, dict) else None
        namespace = metadata.get("namespace", NAMESPACE) if isinstance(metadata, dict) else NAMESPACE
        if namespace != NAMESPACE:
            yield number, f"metadata.namespace is {namespace}; the sandbox's workloads are in {NAMESPACE}"
