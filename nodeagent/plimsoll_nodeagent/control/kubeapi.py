"""The few calls the agent makes to the API server, with the token of its own service account.

In: where the API server is, and the directory of the token, both as the kubelet gives them to a pod. Out:
decoded JSON, or `ApiError` with a sentence. It is Python's own HTTP client: a full one would cost more memory
than the agent's whole loop. The token is read anew for each call, since kubelets renew it; a connection is
kept for a round of calls.
"""

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TOKEN_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS = 10.0
MOST_BYTES = 32 << 20
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """A call that did not succeed; `status` is 0 where there was no answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class KubeApi:
    """One API server. A context: the connection is closed at its end."""

    def __init__(
        self, host: str, port: int, directory: Path = TOKEN_DIRECTORY, *, plain: bool = False
    ) -> None:
        self._host, self._port, self._directory, self._plain = host, port, directory, plain
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def of_this_pod(cls, environment: Mapping[str, str] = os.environ) -> "KubeApi":
        """The API server of the cluster this pod is in. Raises ApiError outside of one."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
        if not host or not port or not port.isdecimal():
            raise ApiError("this is no pod: KUBERNETES_SERVICE_HOST and _PORT are not set")
        return cls(host, int(port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str) -> dict[str, Any]:
        """GET."""
        return self._call("GET", path, None, "")

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Create."""
        return self._call("POST", path, body, "application/json")

    def merge(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Merge-patch."""
        return self._call("PATCH", path, body, MERGE)

    def _call(self, method: str, path: str, body: Mapping[str, object] | None, kind: str) -> dict[str, Any]:
        try:
            token = "" if self._plain else (self._directory / "token").read_text("ascii").strip()
            headers = {"Accept": "application/json", "User-Agent": "plimsoll-agent"}
            headers |= {"Authorization": f"Bearer {token}"} if token else {}
            headers |= {"Content-Type": kind} if kind else {}
            connection = self._connected()
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise ApiError(f"{method} {path}: {str(error) or type(error).__name__}") from None
        if answer.status >= http.client.MULTIPLE_CHOICES or len(text) > MOST_BYTES:
            self.close()
            raise ApiError(f"{method} {path}: {answer.status} {_message(text)}", answer.status)
        try:
            decoded = json.loads(text)
        except ValueError:
            raise ApiError(f"{method} {path}: the answer is no JSON", answer.status) from None
        if not isinstance(decoded, dict):
            raise ApiError(f"{method} {path}: the answer is no JSON object", answer.status)
        return decoded

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._plain:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
            else:
                context = ssl.create_default_context(cafile=str(self._directory / "ca.crt"))
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=TIMEOUT_SECONDS, context=context
                )
        return self._connection


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text).get("message", ""))[:300]
    except (ValueError, AttributeError):
        return text[:100].decode("utf-8", errors="replace")
