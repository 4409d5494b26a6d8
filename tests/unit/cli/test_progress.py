"""The bar: nothing for what is quick, nothing where nobody looks, on standard error where somebody does."""

import io

import pytest

from plimsoll_cli import progress as module
from plimsoll_cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "seconds", "shown"),
    [(Terminal, 0.9, False), (Terminal, 1.1, True), (io.StringIO, 5.0, False)],
    ids=["quick", "slow", "no terminal"],
)
def test_is_shown_after_a_second_on_a_terminal(monkeypatch, stream, seconds, shown):
    written = stream()
    monkeypatch.setattr("sys.stderr", written)
    with progress("replaying") as report:
        monkeypatch.setattr(module, "elapsed_seconds", lambda since: seconds)
        report(1, 2)
    assert ("replaying" in written.getvalue()) is shown


def test_what_looks_like_markup_is_shown_as_it_stands(monkeypatch):
    written = Terminal()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr(module, "elapsed_seconds", lambda since: 2.0)
    with progress("mine[/blue]:fire:") as report:
        report(1, 2)
    assert "mine[/blue]:fire:" in written.getvalue()


def test_is_gone_when_the_work_fails(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(module, "elapsed_seconds", lambda since: 2.0)

    def work():
        with progress("replaying") as report:
            report(1, 2)
            raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        work()
