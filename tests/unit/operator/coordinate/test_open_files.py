"""In: limits of a process. Out: the soft one as high as the hard one allows, which stays as it was."""

import resource

import pytest

from plimsoll_operator.coordinate.open_files import MOST_FILES, raised_open_files


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, 524_288, 524_288),
        (1024, 1024, 1024),
        (1024, 1_073_741_816, MOST_FILES),
        (1024, resource.RLIM_INFINITY, MOST_FILES),
        (2 * MOST_FILES, resource.RLIM_INFINITY, 2 * MOST_FILES),  # never lowered
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, MOST_FILES),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one_and_never_lowered(monkeypatch, soft, hard, expected):
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert raised_open_files() == expected
    without_end = soft == resource.RLIM_INFINITY
    assert limits[-1] == (soft if without_end else expected, hard)
    assert raised_open_files() == expected
    assert len(limits) == (1 if expected == soft or without_end else 2), "raised once"
