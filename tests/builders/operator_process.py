"""The operator as it is shipped: `plimsoll-operator` as a child process, told by flags, watched from outside.

In: a kubeconfig, an address of Prometheus, a directory. Out: the child, its metrics, and the rights it needs.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from builders.apiserver import ApiServer, Child, free_port
from builders.waiting import wait_for
from plimsoll_operator.rights import RIGHTS

NAMESPACE = "plimsoll-system"
START_SECONDS = 60.0


@contextmanager
def granted(api: ApiServer, user: str) -> Iterator[None]:
    """The operator's namespace, in which and in the cluster `user` may do what the table of rights says, and
    nothing else; the rights are gone afterwards: others ask the same API server what the chart's roles allow.
    """
    http = api.client()
    http.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}})
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    made = [
        *_bind(http, user, rbac, "Cluster", _rules("cluster")),
        *_bind(http, user, f"{rbac}/namespaces/{NAMESPACE}", "", _rules("own namespace")),
    ]
    yield
    for path in made:  # another client than before where the server was stopped meanwhile
        api.client().delete(path).raise_for_status()


def _rules(scope: str) -> list[dict]:
    return [
        {
            "apiGroups": [right.group],
            "resources": [right.resource],
            "verbs": list(right.verbs),
            **({"resourceNames": list(right.names)} if right.names else {}),
        }
        for right in RIGHTS
        if right.scope == scope
    ]


def _bind(http: httpx.Client, user: str, root: str, prefix: str, rules: list[dict]) -> Iterator[str]:
    """Create a role (`prefix` is "Cluster" for a cluster role) and bind it; the path of each object."""
    group, name = "rbac.authorization.k8s.io", "plimsoll-operator"
    metadata = {"metadata": {"name": name}}
    role_ref = {"apiGroup": group, "kind": f"{prefix}Role", "name": name}
    subject = {"apiGroup": group, "kind": "User", "name": user}
    for plural, body in (
        (f"{prefix}Roles".lower(), {**metadata, "rules": rules}),
        (f"{prefix}RoleBindings".lower(), {**metadata, "roleRef": role_ref, "subjects": [subject]}),
    ):
        http.post(f"{root}/{plural}", json=body).raise_for_status()
        yield f"{root}/{plural}/{name}"


@dataclass
class OperatorProcess:
    """One running operator."""

    identity: str
    child: Child
    port: int

    @property
    def url(self) -> str:
        """Address of /metrics, /healthz and /readyz."""
        return f"http://127.0.0.1:{self.port}"

    def metric(self, name: str, labels: str = "") -> float | None:
        """The value of one sample of /metrics, or None; `labels` is text that its labels hold."""
        try:
            text = httpx.get(f"{self.url}/metrics", timeout=5).text
        except httpx.TransportError:
            return None
        for line in text.splitlines():
            if line.partition("{")[0].partition(" ")[0] == name and labels in line:
                return float(line.rpartition(" ")[2])
        return None

    def is_ready(self) -> bool:
        """What /readyz says."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        """Until it is ready; the log's tail is the failure's text."""
        self.child.wait_until(self.is_ready, START_SECONDS)

    def wait_for_loops(self, count: int) -> None:
        """Until it has looped so many times more."""
        seen = self.metric("plimsoll_loops_total") or 0.0
        wait_for(lambda: (self.metric("plimsoll_loops_total") or 0.0) >= seen + count, f"{count} loops")


def start_operator(directory: Path, kubeconfig: Path, identity: str, *flags: str) -> OperatorProcess:
    """Start an operator that speaks through `kubeconfig`; its log is `<identity>.log`."""
    port = free_port()
    argv = [
        str(Path(sys.executable).with_name("plimsoll-operator")), "--namespace", NAMESPACE,
        "--identity", identity, "--metrics-address", "127.0.0.1", "--metrics-port", str(port),
        "--lease-duration", "3s", "--lease-renew", "500ms", *flags,
    ]  # fmt: skip
    child = Child(identity, argv, directory / f"{identity}.log", {"KUBECONFIG": str(kubeconfig)})
    child.start()
    return OperatorProcess(identity, child, port)
