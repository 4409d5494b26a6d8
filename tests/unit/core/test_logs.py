"""Log lines are JSON with stable keys, whatever is logged."""

import io
import json
import logging

import pytest

from plimsoll.logs import JsonFormatter


@pytest.fixture
def logger():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("plimsoll.test")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.lines = lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    yield logger
    logger.removeHandler(handler)


def test_a_line_has_time_level_logger_message_and_what_was_given(logger):
    logger.info("resized %s", "a-1", extra={"limit_bytes": 5, "pod": "shop/a-1"})
    line = logger.lines()[0]
    assert list(line)[:4] == ["time", "level", "logger", "message"]
    assert line["message"] == "resized a-1"
    assert line["level"] == "info"
    assert (line["limit_bytes"], line["pod"]) == (5, "shop/a-1")
    assert line["time"].endswith("+00:00")


def test_an_exception_and_newlines_stay_on_one_line(logger):
    try:
        int("two\nlines")
    except ValueError:
        logger.exception("it\nfailed", extra={"odd": object()})
    (line,) = logger.lines()
    assert "ValueError: invalid literal" in line["exception"]
    assert line["message"] == "it\nfailed"
