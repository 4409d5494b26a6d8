"""The door to a cluster: kubeconfig in, plain dicts out, and a sentence for everything that can go wrong.

Address, certificates and tokens are read by the operator's own `ClusterAccess`, so that a person and the
operator reach a cluster the same way. The `kubernetes` client is imported when a command needs it. Reads are
paged; the few writes there are (`restore`, `pause`) are merge patches.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from plimsoll_cli.failure import ClusterError, OptionError, extra_needed

if TYPE_CHECKING:
    from plimsoll_operator.observe.access import ClusterAccess

Body = dict[str, Any]
TIMEOUT_SECONDS = 20.0
PAGE_SIZE = 500
MERGE_PATCH = "application/merge-patch+json"
USER_AGENT = "plimsoll-cli"
PLIMSOLL_API = "/apis/plimsoll.dev/v1alpha1"
DEFAULT_FILE = Path("~/.kube/config")

KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig file.", show_default="$KUBECONFIG")
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig.", show_default="the current one")
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Only this namespace.", show_default="all")
]
AllNamespacesOption = Annotated[
    bool, typer.Option("--all-namespaces", "-A", help="All namespaces (the default).")
]
OperatorNamespaceOption = Annotated[
    str,
    typer.Option("--operator-namespace", envvar="PLIMSOLL_NAMESPACE", help="Where the operator runs."),
]
OPERATOR_NAMESPACE = "plimsoll-system"


class NoKubeconfigError(ClusterError):
    """There is no kubeconfig at all."""


class MissingError(ClusterError):
    """The object, or its kind, is not there."""


class ForbiddenError(ClusterError):
    """The person may not do that."""


@dataclass(frozen=True)
class Cluster:
    """One cluster's API server, by HTTP."""

    http: httpx.Client
    host: str
    kubeconfig: str  # the file, "": the pod's own account
    context: str

    def read(self, path: str) -> Body:
        """Read one object; raises `MissingError` where it is not."""
        return self._call("GET", path)

    def find(self, path: str) -> Body | None:
        """Read one object, or None where it is not."""
        try:
            return self.read(path)
        except MissingError:
            return None

    def items(self, path: str, selector: str = "") -> list[Body]:
        """Read all objects of a collection that a label selector chooses, page by page."""
        found: list[Body] = []
        asked = {"limit": str(PAGE_SIZE)} | ({"labelSelector": selector} if selector else {})
        token = ""
        while True:
            page = self._call("GET", path, asked | ({"continue": token} if token else {}))
            found += [each for each in page.get("items") or () if isinstance(each, dict)]
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token:
                return found

    def merge(self, path: str, body: Mapping[str, object]) -> Body:
        """Merge `body` into an object."""
        return self._call("PATCH", path, body=body, media_type=MERGE_PATCH)

    def create(self, path: str, body: Mapping[str, object]) -> Body:
        """Create an object in a collection."""
        return self._call("POST", path, body=body, media_type="application/json")

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        media_type: str = "",
    ) -> Body:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if body is not None:
            headers["Content-Type"] = media_type
        content = None if body is None else json.dumps(body)
        try:
            answer = self.http.request(method, path, params=query, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise ClusterError(f"cannot reach the API server at {self.host}: {said(error)}") from error
        return self._document(answer, method, path)

    def _document(self, answer: httpx.Response, method: str, path: str) -> Body:
        try:
            document = answer.json()
        except ValueError:
            document = None
        if answer.is_success and isinstance(document, dict):
            return document
        message = str(document.get("message", "")) if isinstance(document, dict) else answer.text[:200]
        where = f"{method} {path}"
        match answer.status_code:
            case 401:
                raise ClusterError(f"the API server at {self.host} does not accept these credentials (401)")
            case 403:
                raise ForbiddenError(f"not allowed (403): {message or where}")
            case 404:
                raise MissingError(f"{message or 'not found'} ({where})")
        text = f"answered {answer.status_code} to {where}: {message}"
        raise ClusterError(f"the API server at {self.host} {text}")


@contextmanager
def open_cluster(kubeconfig: Path | None, context: str | None) -> Iterator[Cluster]:
    """Reach the cluster that flags, $KUBECONFIG, the pod's account or ~/.kube/config name, in this order."""
    file = _file(kubeconfig)
    access = _access(file, context or "")
    host = str(access.configuration.host)
    try:
        client = access.api_client(TIMEOUT_SECONDS)
    except OSError as error:  # a certificate that is not there or none
        raise ClusterError(f"kubeconfig {file}: {error}") from error
    with client:
        yield Cluster(client, host, file, context or "")


def namespaced(root: str, plural: str, namespace: str | None, name: str = "") -> str:
    """Return the path of a collection (of all namespaces where none is named) or of one object."""
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{plural}" + (f"/{name}" if name else "")


def one_namespace(namespace: str | None, all_namespaces: bool) -> str | None:  # noqa: FBT001 - flags of a command
    """Return the namespace asked for, None for all of them; both at once make no sense."""
    if namespace and all_namespaces:
        raise OptionError("--namespace and --all-namespaces exclude each other")
    return namespace


def said(error: Exception) -> str:
    """Return what an error says of itself, its type where it says nothing."""
    return str(error) or type(error).__name__


def _file(kubeconfig: Path | None) -> str:
    """Return the file(s) to read, "" for the pod's own account."""
    named = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG", "")
    if not named and "KUBERNETES_SERVICE_HOST" in os.environ:
        return ""
    file = named or str(DEFAULT_FILE.expanduser())
    paths = [Path(each).expanduser() for each in file.split(os.pathsep)]
    if not any(each.is_file() for each in paths):
        if paths[0].is_dir():
            raise ClusterError(f"kubeconfig {file}: is a directory; name a file")
        raise NoKubeconfigError(f"no kubeconfig: {file} does not exist; name one with --kubeconfig")
    return file


def _access(file: str, context: str) -> "ClusterAccess":
    try:
        from plimsoll_cli.kubeconfig import configuration_in  # noqa: PLC0415 - slow, and only in the extra
        from plimsoll_operator.observe.access import ClusterAccess, cluster_access  # noqa: PLC0415
        from plimsoll_operator.observe.source import SourceError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        failure = extra_needed(error, "talking to a cluster", "operator")
        raise failure or error from error
    if file:
        return ClusterAccess(configuration_in(file, context))
    try:
        return cluster_access(context)
    except SourceError as error:
        raise ClusterError(said(error)) from error
