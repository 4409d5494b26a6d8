"""A wait outlives an API server that has nobody to ask for a moment; any other failure ends it at once."""

from collections.abc import Callable

import pytest

from builders import waiting
from builders.e2e import patience
from builders.e2e.cluster import CommandError, UnavailableError, run
from builders.waiting import OutOfTimeError

UNAVAILABLE = "Error from server (ServiceUnavailable): the server is currently unable to handle the request"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "slowness", lambda: 1.0)
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.0)


def kubectl(says: str) -> str:
    """What kubectl ends with where it fails with these words."""
    return run(["sh", "-c", 'echo "$1" >&2; exit 1', "kubectl", says])


def test_nobody_there_for_now_is_no_answer_yet():
    looks = iter([UNAVAILABLE, UNAVAILABLE, ""])
    assert patience.wait_for(lambda: ((says := next(looks)) and kubectl(says)) or 7.0, "a metric") == 7.0


def test_nobody_there_all_the_time_is_out_of_time_and_says_why():
    with pytest.raises(OutOfTimeError, match="a metric") as late:
        patience.wait_for(lambda: kubectl(UNAVAILABLE), "a metric", 0.0)
    assert "ServiceUnavailable" in str(late.value.__cause__)


def test_what_came_before_another_answer_is_no_cause(monkeypatch: pytest.MonkeyPatch):
    def two_looks(question: Callable[[], object], *_: object) -> None:
        raise OutOfTimeError(f"looked twice: {question()}, {question()}")

    monkeypatch.setattr(waiting, "wait_for", two_looks)
    looks = iter([UNAVAILABLE, ""])
    with pytest.raises(OutOfTimeError, match=r"looked twice: None, $") as late:
        patience.wait_for(lambda: (says := next(looks)) and kubectl(says), "a metric")
    assert late.value.__cause__ is None


@pytest.mark.parametrize("says", ["Error from server (Forbidden): pods", "Error from server (NotFound): x"])
def test_any_other_failure_ends_the_wait(says: str):
    looks = iter([says])
    with pytest.raises(CommandError, match="Error from server") as failed:
        patience.wait_for(lambda: kubectl(next(looks)), "a metric")
    assert not isinstance(failed.value, UnavailableError)
    assert not isinstance(failed.value, OutOfTimeError)


def test_outside_a_wait_it_fails_at_once():
    with pytest.raises(UnavailableError, match="unable to handle"):
        kubectl(UNAVAILABLE)
