"""In: what agents say of their containers. Out: one container's view, or nothing where it makes no sense."""

import numpy as np
import pytest

from plimsoll.coordinate.columns import MOST_ROWS
from plimsoll.coordinate.messages import MessageError, OutcomeBatch, Roster, RosterEntry, SampleBatch, Unread
from plimsoll_operator.coordinate.views import Views

MIB = 1 << 20


def views(usage=64.0 * MIB, capacity=1 << 40, **columns) -> Views:
    made = Views()
    made.keep_only({"n1": capacity, "n2": capacity})
    made.greet("n1", Roster((RosterEntry(3, "uid", "id"),)))
    values = {"usage_bytes": np.array([1.0, usage])} | {
        name: np.array([np.nan, each]) for name, each in columns.items()
    }
    made.take("n1", SampleBatch(1.0, np.array([1, 3]), values, 8 * MIB), 100.0)
    return made


def test_a_container_is_found_by_pod_and_id_and_what_was_not_said_is_unknown():
    view = views(memory_max_bytes=96.0 * MIB).container("n1", "uid", "id")
    assert (view.usage_bytes, view.memory_max_bytes, view.needed_bytes) == (64 * MIB, 96 * MIB, None)
    assert view.heard_seconds == 100.0


def test_another_nodes_container_and_a_restarted_one_are_not_known():
    made = views()
    assert made.container("n2", "uid", "id") is None
    assert made.container("n1", "uid", "after a restart") is None


def test_more_than_the_node_has_is_not_believed():
    assert views(capacity=32 * MIB).container("n1", "uid", "id") is None
    assert views(capacity=None).container("n1", "uid", "id") is None, "of a node that nobody knows"
    assert views(usage=np.nan).container("n1", "uid", "id") is None


def test_absurd_samples_say_nothing(counted):
    absurd = [np.nan, np.inf, 1e30, 40.0 * MIB]
    with np.errstate(invalid="ignore"):
        believed = [each for each in absurd if views(each, 32 * MIB).container("n1", "uid", "id") is not None]
    assert believed == []
    counted(
        "absurd samples", injected=len(absurd), survived=len(absurd) - len(believed), lost=len(believed),
        of=len(absurd), what="samples",
    )  # fmt: skip


def test_a_batch_that_makes_no_sense_says_nothing_and_raises_nothing():
    def broken() -> SampleBatch:
        raise MessageError("a container stands twice")

    made = views()
    made.take("n1", Unread(broken), 101.0)
    assert made.container("n1", "uid", "id") is None
    assert made.available_bytes("n1", 101.0) is None


@pytest.mark.parametrize(
    ("said_mib", "age_seconds", "known"), [(8, 30.0, True), (8, 31.0, False), (0, 0.0, False)]
)
def test_what_a_node_has_left_is_known_where_its_agent_has_just_said_so(said_mib, age_seconds, known):
    made = views()
    assert made.available_bytes("n2", 100.0) is None
    made.take("n1", SampleBatch(1.0, np.array([3]), {"usage_bytes": np.array([5.0])}, said_mib * MIB), 100.0)
    found = [made.available_bytes("n1", 100.0 + sign * age_seconds) for sign in (1, -1)]
    assert found == ([said_mib * MIB] * 2 if known else [None, None])


def test_what_came_is_read_once_and_only_when_it_is_asked_for():
    reads = []

    def read() -> SampleBatch:
        reads.append(1)
        return SampleBatch(1.0, np.array([3]), {"usage_bytes": np.array([5.0])}, MIB)

    made = views()
    made.take("n1", Unread(read), 101.0)
    assert reads == []
    assert made.container("n1", "uid", "id").usage_bytes == 5
    assert made.available_bytes("n1", 101.0) == MIB
    assert reads == [1]


def test_who_went_is_forgotten_and_totals_are_the_newest():
    made = views()
    made.change("n1", Roster(removed=(3,)))
    assert made.entry("n1", 3) is None
    totals = {"taken_bytes_total": np.array([5.0, np.nan]), "returned_bytes_total": np.array([1.0, 2.0])}
    made.reclaimed("n1", OutcomeBatch(1.0, np.array([1, 3]), totals))
    made.reclaimed("n1", OutcomeBatch(2.0, np.array([1, 3]), totals))
    assert made.reclaimed_bytes() == (5.0, 3.0)
    made.keep_only({})
    assert made.reclaimed_bytes() == (0.0, 0.0)


def test_a_node_never_has_more_containers_than_a_batch_has_rows():
    made = views()
    more = tuple(RosterEntry(index, f"uid-{index}", "c") for index in range(4, 4 + MOST_ROWS - 1))
    made.change("n1", Roster(more))
    assert len(made.containers("n1")) == MOST_ROWS
    with pytest.raises(MessageError, match="more than 4096 containers"):
        made.change("n1", Roster((RosterEntry(99_999, "one", "more"),)))
    assert len(made.containers("n1")) == MOST_ROWS
    made.change("n1", Roster((RosterEntry(99_999, "one", "instead"),), (4,)))
    assert ("one", "instead") in made.containers("n1")
    made.change("n1", Roster((RosterEntry(99_999, "another", "name"),)))
    assert len(made.containers("n1")) == MOST_ROWS
    assert ("one", "instead") not in made.containers("n1"), "an index stands for one container"
