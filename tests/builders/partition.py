"""A line that can be cut: what connects to its port reaches the other one, until it does not.

In: a port of loopback. Out: another port. `cut` ends what goes through and takes nobody new; `mend` lets go
on. With `lengths` each connection is cut after so many bytes of both ways together, wherever in a message
that is, and the first after the last of them is whole.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence


class Line:
    """A proxy of bytes, in a thread of its own."""

    def __init__(self, port: int, lengths: Sequence[int] = ()) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._whole = True
        self._over = False
        self._ends: dict[socket.socket, socket.socket] = {}
        self._lengths = list(lengths)
        self._left: dict[socket.socket, list[int]] = {}  # one list for both ends of a connection
        self.cut_total = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Nothing gets through."""
        with self._lock:
            self._whole = False
            for each in list(self._ends):
                self._drop(each)

    def mend(self) -> None:
        with self._lock:
            self._whole = True

    def close(self) -> None:
        self._over = True
        self._thread.join()
        for each in list(self._ends):
            each.close()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._ends:
                        self._pass_on(key.fileobj)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if not self._whole:
            near.close()
            return
        far = socket.create_connection(self._target)
        left = [self._lengths.pop(0)] if self._lengths else []
        for one, other in ((near, far), (far, near)):
            self._ends[one], self._left[one] = other, left
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        try:
            data = end.recv(65536)
            if (left := self._left[end]) and len(data) >= left[0]:
                self._ends[end].sendall(data[: left[0]])
                self.cut_total += 1
            elif data:
                left[:] = [each - len(data) for each in left]
                self._ends[end].sendall(data)
                return
        except OSError:
            pass
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._ends.pop(end, None)
        if other is None:
            return
        self._ends.pop(other, None)
        for each in (end, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            each.close()


@contextlib.contextmanager
def line_to(port: int, lengths: Sequence[int] = ()) -> Iterator[Line]:
    """A whole line, until the block ends."""
    made = Line(port, lengths)
    try:
        yield made
    finally:
        made.close()
