import gc
import json
import logging
import tracemalloc

from builders.cgroup_tree import CgroupTree, Memory, container_id
from plimsoll.logs import JsonFormatter
from plimsoll_nodeagent.kernelfs import Absence
from plimsoll_nodeagent.loop import Watch
from plimsoll_nodeagent.main import keep_watching, waiting

ROOT = "/sys/fs/cgroup"
NOW = 1_700_000_000.0


class Waits:
    """Stands for Event.wait: remembers how long it was to wait, stops after some."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.seconds = []

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) >= self.turns


def test_a_tick_sees_the_whole_node(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container(1, pod=1)
    tree.container(2, pod=1)
    tree.container(3, pod=2, qos="guaranteed")
    watch = Watch(tree.fs, ROOT)
    snapshot = watch.tick(NOW)
    assert watch.latest is snapshot
    assert snapshot.taken_seconds == NOW
    assert (snapshot.pods, len(snapshot.samples), snapshot.added_total) == (2, 3, 3)
    assert snapshot.kube_node.memory.total_bytes == 2 << 30


def test_what_came_and_went_is_counted(tmp_path):
    tree = CgroupTree(tmp_path)
    watch = Watch(tree.fs, ROOT)
    for number in range(3):
        tree.container(number, pod=number)
        watch.tick(NOW)
        tree.remove_pod(number)
    snapshot = watch.tick(NOW)
    assert (snapshot.added_total, snapshot.removed_total, snapshot.ticks_total) == (3, 3, 4)
    assert snapshot.samples == ()


def test_of_too_many_containers_the_same_are_left_out_each_time(tmp_path):
    tree = CgroupTree(tmp_path)
    for number in range(6):
        tree.container(number, pod=number)
    watch = Watch(tree.fs, ROOT, most_containers=4)
    first, second = watch.tick(NOW), watch.tick(NOW)
    assert (len(first.samples), first.left_out) == (4, 2)
    assert [each.container for each in first.samples] == [each.container for each in second.samples]


def test_before_there_is_a_cgroup_with_memory_nothing_is_claimed(tmp_path):
    tree = CgroupTree(tmp_path)
    (tree.cgroups / "kubepods/memory.current").unlink()
    watch = Watch(tree.fs, ROOT)
    tree.container()
    assert watch.tick(NOW) is None
    assert watch.latest is None
    tree.write(tree.cgroups / "kubepods/memory.current", "4096\n")
    assert len(watch.tick(NOW).samples) == 1


def test_what_the_kernel_lacks_is_said_once(tmp_path, caplog):
    tree = CgroupTree(tmp_path)
    (tree.cgroups / "kubepods/memory.peak").unlink()
    watch = Watch(tree.fs, ROOT)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            watch.tick(NOW)
    assert caplog.text.count("this kernel lacks memory.peak") == 1
    assert [each.what for each in watch.latest.features.missing] == ["memory.peak"]


def test_each_kind_of_trouble_is_logged_once_and_counted_always(tmp_path, caplog):
    tree = CgroupTree(tmp_path)
    tree.container(memory=Memory(extra={"memory.stat": "anon x\n"}))
    watch = Watch(tree.fs, ROOT)
    for _ in range(3):
        snapshot = watch.tick(NOW)
    assert snapshot.failures_total == {Absence.GARBLED: 3}
    assert caplog.text.count("a kernel file was garbled") == 1


def test_a_snapshot_does_not_change_once_it_is_taken(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container(memory=Memory(extra={"memory.stat": "anon x\n"}))
    watch = Watch(tree.fs, ROOT)
    first = watch.tick(NOW)
    watch.tick(NOW)
    assert first.failures_total == {Absence.GARBLED: 1}


def test_a_minute_of_churn_leaves_no_memory_behind(tmp_path):
    tree = CgroupTree(tmp_path)
    watch = Watch(tree.fs, ROOT)

    def one_turn(turn: int) -> None:
        for pod in range(200):
            path = tree.pod_path(pod) / container_id(turn * 1000 + pod)
            tree.write(path / "memory.current", "4096\n")
        assert len(watch.tick(NOW).samples) == 200
        for pod in range(200):
            tree.remove_pod(pod)
        assert watch.tick(NOW).samples == ()

    def held_bytes() -> int:
        gc.collect()
        ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/plimsoll_nodeagent/*")])
        return sum(each.size for each in ours.traces)

    tracemalloc.start()
    one_turn(0)
    before = held_bytes()
    for turn in range(1, 3):
        one_turn(turn)
    grown_bytes = held_bytes() - before
    tracemalloc.stop()
    assert grown_bytes < 10_000  # a container that was kept would take more than 100 bytes, and 400 went by


def test_a_tick_that_fails_is_logged_and_the_next_one_comes(caplog):
    beats, ticks = [], []

    def tick(now_seconds: float) -> None:
        ticks.append(now_seconds)
        if len(ticks) == 1:
            raise RuntimeError("as told")

    keep_watching(tick, lambda: beats.append(1), 10.0, Waits(3), now=lambda: NOW, monotonic=lambda: 5.0)
    assert (len(ticks), len(beats)) == (3, 2)
    assert "a tick failed" in caplog.text


def test_the_pace_is_even_and_missed_ticks_are_not_made_up_for():
    clock, waits = [100.0], Waits(4)
    took = iter([1.0, 35.0, 2.0, 0.0])

    def tick(_now: float) -> None:
        clock[0] += next(took)

    def stopped(seconds: float) -> bool:
        clock[0] += seconds
        return waits(seconds)

    keep_watching(tick, lambda: None, 10.0, stopped, now=lambda: NOW, monotonic=lambda: clock[0])
    assert waits.seconds == [9.0, 0.0, 8.0, 10.0]


def test_logs_are_one_json_object_a_line():
    record = logging.makeLogRecord(
        {"levelname": "WARNING", "msg": "lacks %s", "args": ("x",), "reason": "gone"}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["message"], line["reason"]) == ("warning", "lacks x", "gone")


def test_what_fails_between_two_ticks_is_tried_again_a_second_later_and_ends_nothing(caplog):
    waits: list[float] = []
    clock = [0.0]

    class Stop:
        def is_set(self) -> bool:
            return False

        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            clock[0] += seconds
            return False

    class Failing:
        triggers = (1,)  # it listens, but comes back at once

        def heed(self, *_: object) -> None:
            raise RuntimeError("as told")

    assert waiting(Failing(), Stop(), lambda: clock[0])(3.0) is False
    assert waits == [1.0, 1.0, 1.0]
    assert [each.message for each in caplog.records if each.exc_info] == [
        "looking on between two ticks failed; it is tried again each second"
    ]
