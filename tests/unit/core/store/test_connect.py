"""One link for all threads of a process."""

import threading

import pytest

from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.connect import Link, SharedLink

SOMEWHERE = parse_redis_address("redis://nowhere")
NOT_COMING_SECONDS = 0.2


def made() -> Link:
    return Link(object(), lambda _key: None, lambda: None, lambda: None)


def test_who_asks_while_another_connects_gets_the_same_link():
    connecting, again, got = threading.Event(), threading.Event(), []

    def connect(_address) -> Link:
        if connecting.is_set():
            again.set()
        connecting.set()
        again.wait(NOT_COMING_SECONDS)  # the other thread has asked by then, and must not come here
        return made()

    shared = SharedLink(SOMEWHERE, connect)
    threads = [threading.Thread(target=lambda: got.append(shared.get())) for _ in range(2)]
    threads[0].start()
    assert connecting.wait(5)
    threads[1].start()
    for each in threads:
        each.join(5)
    assert not again.is_set()
    assert got[0] is got[1]


def test_a_failure_to_connect_is_not_kept():
    links = iter([ConnectionError("refused"), made()])

    def connect(_address) -> Link:
        link = next(links)
        if isinstance(link, Exception):
            raise link
        return link

    shared = SharedLink(SOMEWHERE, connect)
    with pytest.raises(ConnectionError):
        shared.get()
    assert shared.get() is shared.get()


def test_a_closed_link_is_closed_once_and_the_next_is_a_new_one():
    closed = []
    shared = SharedLink(SOMEWHERE, lambda _address: Link(object(), None, None, lambda: closed.append(1)))
    shared.close()
    first = shared.get()
    shared.close()
    shared.close()
    assert closed == [1]
    assert shared.get() is not first
