"""In: kopf's log about watches. Out: one sentence that names the kind and the reason."""

import logging

import pytest

from plimsoll_operator.watching import LastWords


@pytest.fixture
def heard():
    logger, handler = logging.getLogger("kopf._core.reactor.orchestration"), LastWords()
    handler.listen()
    yield logger, handler
    logger.removeHandler(handler)


def test_the_first_watch_that_fails_is_kept_in_one_line(heard):
    logger, handler = heard
    for name in ("pods.v1", "nodes.v1"):
        error = RuntimeError(f"{name} is\nforbidden")
        logger.error("Watcher for %s@None has failed: %s", name, error, exc_info=error)
    assert handler.sentence == "the watch of pods.v1 failed for good: RuntimeError: pods.v1 is forbidden"


def test_other_lines_say_nothing_about_a_watch(heard):
    logger, handler = heard
    logger.error("Streaming tasks are not stopped")
    logger.warning("Watcher for pods.v1@None is slow")
    assert handler.sentence == ""
