"""Who asks the services: python3 clients.py SETTINGS (a JSON document, see `main.py`).

Each service is asked at a fixed pace, whatever it answers; a request's latency counts from when it was
due, so that a stall is felt by all who would have come meanwhile. A line on standard input is answered
with a line of JSON: what was measured since the line before.
"""

import json
import random
import socket
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

TIMEOUT_SECONDS = 30.0
RECONNECT_SECONDS = 1.0
LATEST_SECONDS = (
    5.0  # behind what was due; later requests are left out, so that no block waits for the last one's
)
Answer = Callable[[socket.socket], int]  # reads one answer; returns its length


class Skewed:
    """Draws of 0..count-1 by Zipf's law, the popular ones scattered over the whole."""

    def __init__(self, count: int, exponent: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._sums = list(accumulate((rank + 1) ** -exponent for rank in range(count)))
        self._places = list(range(count))
        self._random.shuffle(self._places)

    def draw(self) -> int:
        """One number."""
        at = bisect_left(self._sums, self._random.random() * self._sums[-1])
        return self._places[min(at, len(self._places) - 1)]


def percentile(values: list[float], share: float) -> float | None:
    """The smallest value that so many are not above; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(latencies_ms: list[float], errors: int) -> dict[str, float | int | None]:
    """What is written out of one window."""
    return {
        "n": len(latencies_ms),
        "errors": errors,
        "p50_ms": percentile(latencies_ms, 0.50),
        "p99_ms": percentile(latencies_ms, 0.99),
        "mean_ms": sum(latencies_ms) / len(latencies_ms) if latencies_ms else None,
    }


class Asker:
    """Asks one service at its pace, in a thread of its own."""

    def __init__(
        self,
        port: int,
        per_second: float,
        request: Callable[[], bytes],
        answer: Answer,
    ) -> None:
        self._port, self._period, self._request = port, 1 / per_second, request
        self._answer = answer
        self._lock = threading.Lock()
        self._latencies_ms: list[float] = []
        self._errors = self._missed = 0
        threading.Thread(target=self._run, daemon=True).start()

    def collect(self) -> dict[str, float | int | None]:
        """What was measured since the last time."""
        with self._lock:
            found, self._latencies_ms = self._latencies_ms, []
            errors, self._errors = self._errors, 0
            missed, self._missed = self._missed, 0
        return {**summary(found, errors), "missed": missed}

    def _run(self) -> None:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._port), TIMEOUT_SECONDS) as connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._ask(connection)
            except OSError:
                with self._lock:
                    self._errors += 1
                time.sleep(RECONNECT_SECONDS)

    def _ask(self, connection: socket.socket) -> None:
        due = time.monotonic()
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            connection.sendall(self._request())
            self._answer(connection)
            with self._lock:
                self._latencies_ms.append((time.monotonic() - due) * 1000)
            due = self._next(due + self._period)

    def _next(self, due: float) -> float:
        """The time of the next request; those that nobody would wait for any more are counted as missed."""
        late = time.monotonic() - due - LATEST_SECONDS
        if late <= 0:
            return due
        missed = int(late / self._period) + 1
        with self._lock:
            self._missed += missed
        return due + missed * self._period


def receive(connection: socket.socket) -> bytes:
    """Some bytes; an end is an error, for the service should go on."""
    found = connection.recv(1 << 16)
    if not found:
        raise ConnectionResetError("closed")
    return found


def read_redis(connection: socket.socket) -> int:
    """Read one bulk string; returns its length."""
    found = receive(connection)
    while b"\r\n" not in found:
        found += receive(connection)
    length, _, body = found[1:].partition(b"\r\n")
    missing = int(length) + 2 - len(body)
    while missing > 0:
        missing -= len(receive(connection))
    return int(length)


def read_http(connection: socket.socket) -> int:
    """Read one answer; returns its body's length."""
    found = receive(connection)
    while b"\r\n\r\n" not in found:
        found += receive(connection)
    head, _, body = found.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    missing = length - len(body)
    while missing > 0:
        missing -= len(receive(connection))
    return length


def redis_get(number: int) -> bytes:
    """A GET in Redis' protocol."""
    key = f"key:{number}"
    return f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode()


def http_get(path: str) -> bytes:
    """A GET in HTTP."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def askers(settings: Mapping[str, object], seed: int) -> dict[str, Asker]:
    """One for each service."""
    exponent = settings["zipf_exponent"]
    keys = Skewed(settings["redis_keys"], exponent, seed)
    records = Skewed(settings["jvm_records"], exponent, seed + 1)
    entries = Skewed(settings["web_entries"], exponent, seed + 2)
    files = Skewed(settings["web_files"], exponent, seed + 3)
    turn = random.Random(seed + 4)

    def web() -> bytes:
        path = (
            f"/c/{entries.draw()}" if turn.random() < settings["web_cached_share"] else f"/f/{files.draw()}"
        )
        return http_get(path)

    rates, ports = settings["requests_per_second"], settings["ports"]
    return {
        "redis": Asker(ports["redis"], rates["redis"], lambda: redis_get(keys.draw()), read_redis),
        "jvm": Asker(ports["jvm"], rates["jvm"], lambda: http_get(f"/{records.draw()}"), read_http),
        "web": Asker(ports["web"], rates["web"], web, read_http),
    }


def main() -> None:
    """Ask until standard input ends."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    asking = askers(settings["mixed"], settings["seed"])
    for _ in sys.stdin:
        print(json.dumps({name: each.collect() for name, each in asking.items()}), flush=True)


if __name__ == "__main__":
    main()
