"""The marker `apiserver`: what needs a real kube-apiserver runs where `make apiserver` has been run.

Elsewhere those tests are skipped, and the end of the run says how many and which command gets them, as it
does of those that a redis-server or others' tools are missing for. The contract room goes to one xdist
worker as a whole, so that the machine carries one API server, not two; a simulation's module does too, so
that its run is made once, and the docs' pages, which share a cluster.
No test leaves handlers on the root logger: what a command installs writes to a stream that is closed later.
`counted` is how a test of a fault says what it has counted.
"""

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from builders.apiserver import MISSING, NO_OPENSSL, why_unavailable
from builders.others_tools import SKIPPED
from builders.redis_server import MISSING as NO_REDIS

WHOLE_MODULES = ("tests/simulation/", "tests/docs/test_cluster_pages.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wanting = [item for item in items if item.get_closest_marker("apiserver")]
    if wanting and (reason := why_unavailable()):
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Commands called in this process configure its logs: that ends with the test that called them.

    Only what is new goes: pytest's own handlers come and go with the parts of a test.
    """
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def counted(record_property) -> Callable[..., None]:
    """Write down what a test of a fault has counted, for the table of `make bench-faults` (bench/faults.py).

    `injected`: how often the fault was made; `survived`: after how many of them everything went on; `of` and
    `what`: what was to come through meanwhile; `lost`: what of it did not.
    """

    def count(fault: str, *, injected: int, survived: int, lost: int, of: int, what: str) -> None:
        assert injected > 0
        assert of > 0
        found = {"fault": fault, "injected": injected, "survived": survived, "lost": lost}
        record_property("fault", json.dumps(found | {"of": of, "what": what}))

    return count


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    # pytest 9.2 keeps node ids as objects, which disables xdist 3.8's own groups: the room is the group here.
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class RoomScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/contract/"):
                return "contract"
            return nodeid.partition("::")[0] if nodeid.startswith(WHOLE_MODULES) else nodeid

    return RoomScheduling(config, log)


def pytest_terminal_summary(terminalreporter) -> None:
    for what, reason in (("API server", MISSING), ("API server", NO_OPENSSL), ("Redis", NO_REDIS)):
        skipped = [r for r in terminalreporter.stats.get("skipped", []) if reason in str(r.longrepr)]
        if skipped:
            terminalreporter.section(f"real {what}")
            terminalreporter.write_line(f"{len(skipped)} tests need a real {what}; SKIPPED: {reason}")
    others = [
        str(r.longrepr) for r in terminalreporter.stats.get("skipped", []) if SKIPPED in str(r.longrepr)
    ]
    if others:
        terminalreporter.section("rules and kinds of others")
        reasons = sorted({each[each.index(SKIPPED) :].rstrip("')\"") for each in others})
        terminalreporter.write_line(f"{len(others)} tests SKIPPED: {'; '.join(reasons)}")
