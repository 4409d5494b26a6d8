"""A mutating admission webhook over TLS on loopback, for tests of how an API server calls one.

In: a function from the AdmissionReview's request to JSON patch operations. Out: its address, its authority's
certificate, and the requests it has seen.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from builders.apiserver import new_authority, new_certificate

Operations = list[dict]
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


@dataclass
class Webhook:
    """A running webhook."""

    url: str
    authority: bytes
    seen: list[dict] = field(default_factory=list)

    @property
    def ca_bundle(self) -> str:
        """As a webhook configuration wants it."""
        return base64.b64encode(self.authority).decode()

    def configuration(self, name: str, namespace: str, **fields) -> dict:
        """A MutatingWebhookConfiguration that sends pods created in `namespace` here."""
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": f"{name}.plimsoll.dev",
                    "clientConfig": {"url": self.url, "caBundle": self.ca_bundle},
                    "rules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["pods"],
                        }
                    ],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Ignore",
                    "timeoutSeconds": 5,
                    **fields,
                }
            ],
        }


@contextmanager
def running_webhook(directory: Path, decide: Callable[[dict], Operations]) -> Iterator[Webhook]:
    """Serve `decide` over TLS until the block ends."""
    new_authority(directory, "webhook-ca")
    new_certificate(directory, "webhook", "webhook-ca")
    hook = Webhook("", (directory / "webhook-ca.crt").read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.seen.append(review["request"])
            patch = base64.b64encode(json.dumps(decide(review["request"])).encode()).decode()
            answer = {
                "uid": review["request"]["uid"],
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": patch,
            }
            body = json.dumps({**review, "request": None, "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments) -> None:
            """Silence: the test reads `seen`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "webhook.crt", directory / "webhook.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    hook.url = f"https://127.0.0.1:{server.server_port}/mutate"
    thread = threading.Thread(target=server.serve_forever, name="webhook", daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
