"""A real HTTP(S) server on loopback that answers what a test tells it to.

In: a function from a request (`Asked`) to `Answer`. Out: an address, and what was asked. It runs in its own
threads, for the sources under test block.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    client_port: int = 0


@dataclass(frozen=True)
class Answer:
    body: bytes = b""
    status: int = 200
    held: threading.Event | None = None  # answered only once this is set: a server that is slow


def as_json(document: object, status: int = 200) -> Answer:
    return Answer(json.dumps(document).encode(), status)


@dataclass
class Server:
    url: str
    port: int
    asked: list[Asked] = field(default_factory=list)


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up, or refuses the certificate, is what some tests are about."""


@contextmanager
def answering(answer: Callable[[Asked], Answer], tls: Path | None = None) -> Iterator[Server]:
    """Serve until the block ends; `tls` is a directory with tls.crt and tls.key."""
    server = _Quiet(("127.0.0.1", 0), _handler(answer))
    server.daemon_threads = True
    scheme = "http"
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    port = server.server_address[1]
    shown = Server(f"{scheme}://127.0.0.1:{port}", port)
    server.shown = shown
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield shown
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(answer: Callable[[Asked], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            text = parts.query
            if self.command == "POST":
                text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            query = {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
            headers = {k.lower(): v for k, v in self.headers.items()}
            asked = Asked(parts.path, query, headers, self.client_address[1])
            self.server.shown.asked.append(asked)
            self._send(answer(asked))

        do_POST = do_GET  # noqa: N815

        def _send(self, given: Answer) -> None:
            if given.held is not None:
                given.held.wait(20)
            try:
                self.send_response(given.status)
                self.send_header("Content-Length", str(len(given.body)))
                self.end_headers()
                self.wfile.write(given.body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client ran out of patience

        def log_message(self, *_: object) -> None:
            pass

    return Handler
