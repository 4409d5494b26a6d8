"""For how long a stream that is refused stays away: written and read in one place, within bounds."""

import pytest

from plimsoll_proto import service


@pytest.mark.parametrize("wait_seconds", [0.25, 50.0, 600.0])
def test_what_is_asked_for_comes_back(wait_seconds):
    assert service.retry_seconds(service.retry_trailer(wait_seconds)) == wait_seconds


def test_who_may_come_back_at_once_is_told_nothing():
    assert service.retry_trailer(0.0) == ()


@pytest.mark.parametrize("wait_seconds", [1e6, 1e300, float("inf")])
def test_nobody_is_asked_to_stay_away_for_longer_than_is_read(wait_seconds):
    assert dict(service.retry_trailer(wait_seconds)) == {service.RETRY_AFTER: "600000"}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1500", 1.5), ("1e12", 600.0), ("inf", 600.0), ("1e999", 600.0), ("-5", 0.0), ("-inf", 0.0),
        ("nan", 0.0), ("soon", 0.0), ("", 0.0), (b"2000", 2.0), (b"\xff", 0.0),
    ],
)  # fmt: skip
def test_a_trailer_is_read_within_bounds(said, seconds):
    assert service.retry_seconds((("grpc-status-details-bin", b""), (service.RETRY_AFTER, said))) == seconds


@pytest.mark.parametrize("trailing", [None, (), (("other", "5"),)])
def test_a_stream_that_asks_for_nothing_asks_for_nothing(trailing):
    assert service.retry_seconds(trailing) == 0.0
