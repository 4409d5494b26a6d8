"""In: a twin of a node with two NUMA nodes. Out: memory that goes where the CPUs are, and comes back."""

import logging

import numpy as np
import pytest

from builders.cgroup_tree import MIB
from builders.twin_node import TwinNode
from plimsoll.api.policy import NumaPlacement
from plimsoll.pages.control_types import OFF, ReclaimPolicy
from plimsoll.placement.numa import PAGE_MOVE_SECONDS, TRIAL_SECONDS
from plimsoll_nodeagent.act.steps import STEP_BYTES, TURN_SECONDS
from plimsoll_nodeagent.control import numa_moves
from plimsoll_nodeagent.control.brake import Brake
from plimsoll_nodeagent.control.numa_moves import STEP_PAUSE_SECONDS
from plimsoll_nodeagent.control.numa_places import LOOK_SECONDS, NumaPlaces
from plimsoll_nodeagent.control.numa_under_way import PASSES, End, Wait
from plimsoll_nodeagent.control.stalls import StallWatch
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.loop import Watch
from plimsoll_nodeagent.sample.cpu_places import TICKS_PER_SECOND

GIB = 2**30
TWIN_PAGES = 1024  # of a twin's process
MEMINFO = "Node {0} MemTotal: {1} kB\nNode {0} MemFree: {2} kB\n"


class World:
    """A container whose thread runs on the CPU of NUMA node 1 and whose memory is on node 0."""

    def __init__(self, root, numa_nodes=2, cpu=1, pages=TWIN_PAGES):
        self.now, self.ran, self.stalled, self.spent = 1000.0, 100.0, 0.0, 0.0
        self.node = TwinNode(root)
        self.process, self.cpu = self.node.process(pages=pages), cpu
        for number in range(numa_nodes):
            where = root / f"sys/devices/system/node/node{number}"
            self.node.tree.write(where / "cpulist", f"{number}\n")
            self.node.tree.write(where / "meminfo", MEMINFO.format(number, 8 * GIB // 1024, 4 * GIB // 1024))
        self.node.tree.write(root / "sys/devices/system/node/has_memory", f"0-{numa_nodes - 1}\n")
        self.actor = self.node.actor(self.node.container())
        self.policy, self.ended = ReclaimPolicy(numa=NumaPlacement.PREFER), False
        self.stalls = StallWatch(self.node.kernel, lambda: self.now)
        brake = Brake(self, self.stalls, lambda: self.now, lambda: self.ended)
        self.places = NumaPlaces(self.node.kernel, self.actor, brake, lambda: self.spent)
        self.watch = Watch(self.node.kernel, "/sys/fs/cgroup", 100)
        self.binds = False

    def refresh(self, now_seconds):
        """Policies are what the test says."""

    def policy_of(self, container):
        return self.policy

    def stall(self, seconds):
        """So much longer it stalled, by its own PSI."""
        self.stalled += seconds
        line = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={int(1e6 * self.stalled)}\n"
        self.node.file(1, "memory.pressure").write_text(line + line.replace("some", "full"))

    def happens_after_steps(self, monkeypatch, number, what):
        """After so many system calls that move pages."""
        calls, real = [], self.node.kernel.processes.move_pages

        def move_pages(pid, addresses, numa_nodes):
            found = real(pid, addresses, numa_nodes)
            if numa_nodes is not None:
                calls.append(len(addresses))
                if len(calls) == number:
                    what()
            return found

        monkeypatch.setattr(self.node.kernel.processes, "move_pages", move_pages)
        return calls

    def slow(self, monkeypatch, *, move=0.0, ask=0.0, busy_pages=lambda turn: ()):
        """Calls take seconds, by the clock and of CPU time; pages that are in use stay where they are."""
        real, moves = self.node.kernel.processes.move_pages, []

        def move_pages(pid, addresses, numa_nodes):
            took = ask if numa_nodes is None else move
            self.now, self.spent = self.now + took, self.spent + took
            if numa_nodes is None:
                return real(pid, addresses, numa_nodes)
            moves.append(len(addresses))
            before = self.process.numa_nodes.copy()
            found = real(pid, addresses, numa_nodes)
            busy = list(busy_pages(len(moves)))
            self.process.numa_nodes[busy] = before[busy]
            return found

        monkeypatch.setattr(self.node.kernel.processes, "move_pages", move_pages)
        return moves

    def count(self):
        """What the kernel counts: the twin's cgroup does not count by NUMA node."""
        counts = np.bincount(self.process.numa_nodes, minlength=2) * PAGE_BYTES
        stat = f"anon N0={counts[0]} N1={counts[1]}\nfile N0=0 N1=0\n"
        self.node.file(1, "memory.numa_stat").write_text(stat)

    def pass_time(self, looks=1, stall=0.0, busy=0.5):
        for _ in range(looks):
            self.count()
            self.now += LOOK_SECONDS
            self.ran += busy * LOOK_SECONDS
            ticks = int(self.ran * TICKS_PER_SECOND)
            words = ["S", *["0"] * 10, str(ticks), "0", *["0"] * 23, str(self.cpu), "0"]
            where = self.node.root / "proc/500/task/500/stat"
            self.node.tree.write(where, f"500 (app) {' '.join(words)}\n")
            self.stall(stall * LOOK_SECONDS)
            self.stalls.since({each.key: each for each in self.node.discovered()}, self.now)
            self.watch.discover()
            samples = self.watch.sample(self.now).samples
            binds = {each.container.key for each in samples} if self.binds else frozenset()
            self.places.step(samples, self.now, binds)

    def bound_world(self, most=GIB):
        """A policy says Bind, nobody has named NUMA nodes, and what it may take is bounded."""
        self.binds = True
        self.node.file(1, "cpuset.mems").write_text("\n")
        self.node.file(1, "memory.max").write_text(f"{most}\n")
        return self

    @property
    def mems(self):
        return self.node.file(1, "cpuset.mems").read_text().strip()

    @property
    def on(self):
        return sorted(set(self.process.numa_nodes.tolist()))


def test_memory_on_the_wrong_numa_node_is_moved(tmp_path):
    world = World(tmp_path)
    world.pass_time(looks=2)
    assert world.on == [0]  # its CPUs have not been there for long enough to say
    world.pass_time(looks=8)
    assert world.on == [1]
    assert world.places.moves.outcomes["done"] == 1
    assert world.places.moves.moved_bytes_total == len(world.process.numa_nodes) * PAGE_BYTES
    assert world.places.local_share() == 1.0


def test_what_is_remote_is_told_by_numa_node_of_those_who_asked_for_a_look(tmp_path):
    world = World(tmp_path)
    world.pass_time()
    assert world.places.remote_shares() == {}  # the first look knows of no CPU time
    world.pass_time()
    assert world.places.remote_shares() == {0: 1.0}  # all of it is on node 0 and used from node 1
    world.pass_time(looks=10)
    assert world.places.remote_shares() == {1: 0.0}
    world.places.step((), world.now + LOOK_SECONDS)
    assert world.places.remote_shares() == {}  # nobody asks any more


def test_of_who_was_not_seen_to_run_nothing_is_told(tmp_path):
    world = World(tmp_path)
    world.pass_time(looks=2)
    world.pass_time(busy=0.0)
    assert world.places.remote_shares() == {}


@pytest.fixture
def small_steps(monkeypatch):
    """A sixteenth of the process moves in a step, and twice as much is looked through."""
    pages = TWIN_PAGES // 16
    monkeypatch.setattr(numa_moves, "STEP_BYTES", pages * PAGE_BYTES)
    monkeypatch.setattr(numa_moves, "SCANNED_PAGES", 2 * pages)
    return pages


def moved(world):
    return int((world.process.numa_nodes == 1).sum())


def test_a_large_container_moves_in_bounded_steps_to_its_last_page(tmp_path, small_steps):
    world = World(tmp_path)
    while world.on == [0]:
        world.pass_time()
    steps = [moved(world)]
    while world.on == [0, 1]:
        world.pass_time()
        steps.append(moved(world))
    assert np.diff([0, *steps]).tolist() == [small_steps] * 16


@pytest.mark.parametrize(
    "how", ["it stalls", "its policy goes", "the agent is to end", "a turn's time is over"]
)
def test_a_move_can_be_stopped_after_every_step_and_goes_on_from_there(tmp_path, monkeypatch, how):
    step = STEP_BYTES // PAGE_BYTES
    world = World(tmp_path, pages=5 * step)

    def happens():
        if how == "it stalls":
            world.stall(0.1)
        elif how == "its policy goes":
            world.policy = OFF
        elif how == "the agent is to end":
            world.ended = True
        else:
            world.now += TURN_SECONDS

    calls = world.happens_after_steps(monkeypatch, 3, happens)
    while world.on == [0]:
        world.pass_time()
    assert calls == [step] * 3
    assert moved(world) == 3 * step
    assert world.places.moves.moved_bytes_total == 3 * STEP_BYTES
    if how in ("it stalls", "a turn's time is over"):
        world.now += 20.0  # its share of the time since is small
        world.places.step([], world.now)
        assert world.on == [1]
    else:
        world.places.step([], world.now + STEP_PAUSE_SECONDS)
        assert moved(world) == 3 * step


def until_it_moves(world, **passing):
    while world.on == [0]:
        world.pass_time(**passing)


def test_what_was_begun_is_finished_where_pages_turn_out_dear_and_turns_are_short(tmp_path, monkeypatch):
    """As on an emulated kernel: 48 MiB of a container that hardly runs, a page is eight times as dear as was
    assumed, a turn has time for three steps, and the machine is so slow that each tick is a look.
    """
    pages = 12 * STEP_BYTES // PAGE_BYTES
    world = World(tmp_path, pages=pages)
    steps = world.slow(monkeypatch, move=80e-6 * STEP_BYTES / PAGE_BYTES)
    until_it_moves(world, busy=0.011)
    assert len(steps) == 4
    world.pass_time(looks=2, busy=0.011)
    assert moved(world) == pages
    assert world.places.moves.ended == {End.DONE: 1}
    assert world.places.moves.waits == {Wait.TIME: 2}
    assert world.places.moves.cost.page_seconds > 3 * PAGE_MOVE_SECONDS  # for the next decision


def test_on_a_busy_machine_a_page_is_not_dearer(tmp_path, monkeypatch):
    world = World(tmp_path)
    world.slow(monkeypatch, move=0.1)
    monkeypatch.setattr(world.places.moves, "_cpu_seconds", lambda: 0.0)  # others had the CPU
    until_it_moves(world)
    assert world.places.moves.cost.page_seconds < PAGE_MOVE_SECONDS


def test_what_is_left_ends_where_the_cpus_move_away_and_it_is_said_why(tmp_path, small_steps, caplog):
    caplog.set_level(logging.INFO)
    world = World(tmp_path)
    until_it_moves(world, busy=0.01)
    world.cpu = 0
    world.pass_time(busy=0.01)
    assert 0 < moved(world) < TWIN_PAGES // 2
    assert world.places.moves.ended == {End.UNWANTED: 1}
    (told,) = [each for each in caplog.records if each.message == "a move between NUMA nodes ended"]
    assert told.end == "unwanted"
    assert "moving costs" in told.why  # they have only come
    assert told.moved_bytes == moved(world) * PAGE_BYTES
    assert told.left_bytes == (TWIN_PAGES - moved(world)) * PAGE_BYTES


def test_a_page_that_was_in_use_comes_in_another_pass(tmp_path, monkeypatch):
    world = World(tmp_path)
    world.slow(monkeypatch, busy_pages=lambda turn: range(0, TWIN_PAGES, 3) if turn == 1 else ())
    until_it_moves(world)
    world.places.step([], world.now + STEP_PAUSE_SECONDS)
    assert world.on == [1]
    assert world.places.moves.ended == {End.DONE: 1}


def test_pages_that_stay_are_given_up_and_told(tmp_path, monkeypatch):
    world = World(tmp_path)
    steps = world.slow(monkeypatch, busy_pages=lambda turn: range(100))
    until_it_moves(world)
    for turn in range(1, 2 * PASSES):
        world.places.step([], world.now + turn * STEP_PAUSE_SECONDS)
    assert steps == [TWIN_PAGES, 100]  # the second pass moved nothing: there is no third
    assert world.places.moves.ended == {End.REST: 1}


def test_where_looking_takes_a_turns_whole_time_each_turn_makes_a_step(tmp_path, monkeypatch):
    step = STEP_BYTES // PAGE_BYTES
    world = World(tmp_path, pages=3 * step)
    steps = world.slow(monkeypatch, ask=2 * TURN_SECONDS)
    until_it_moves(world)
    for _ in range(2):
        world.now += STEP_PAUSE_SECONDS
        world.places.step([], world.now)
    assert steps == [step] * 3
    assert world.on == [1]


def test_a_brake_that_let_go_again_ends_no_move(tmp_path, monkeypatch):
    """PSI is counted anew after it was asked: asked twice it may stop first, and then not."""
    world = World(tmp_path)
    real, asked = world.places.brake.must_not_move, []

    def must_not_move(container, *, back):
        asked.append(len(asked) == 1)  # the second time, before the first step
        return asked[-1] or real(container, back=back)

    monkeypatch.setattr(world.places.brake, "must_not_move", must_not_move)
    while not asked:
        world.pass_time()
    assert world.on == [0]
    assert world.places.moves.waits == {Wait.BRAKE: 1}
    world.places.step([], world.now + STEP_PAUSE_SECONDS)
    assert world.on == [1]


def test_who_did_not_run_for_a_while_has_not_moved(tmp_path):
    world = World(tmp_path)
    world.pass_time(looks=2, busy=0.002)
    world.pass_time(looks=10, busy=0.0)
    world.pass_time(busy=0.5)
    assert world.on == [1]


def test_between_two_looks_it_goes_on_every_few_seconds(tmp_path, small_steps):
    world = World(tmp_path)
    while world.on == [0]:
        world.pass_time()
    for seconds in (1.0, STEP_PAUSE_SECONDS - 1.0, STEP_PAUSE_SECONDS):
        world.places.step([], world.now + seconds)
    assert moved(world) == 2 * small_steps


def test_a_move_under_way_that_harms_is_taken_back_from_its_beginning_on(tmp_path, small_steps):
    world = World(tmp_path)
    while world.on == [0]:
        world.pass_time()
    world.pass_time(looks=4)  # judged once and well, and again on trial
    assert moved(world) == 5 * small_steps
    world.pass_time(looks=10, stall=0.4)
    assert world.places.taken_back_total == 1
    assert world.on == [0]


def test_a_part_is_taken_from_all_over_and_not_from_the_beginning(tmp_path):
    world = World(tmp_path)
    little = MEMINFO.format(1, 8 * GIB // 1024, (8 * GIB // 20 + 2 * MIB) // 1024)
    world.node.tree.write(tmp_path / "sys/devices/system/node/node1/meminfo", little)
    while world.on == [0]:
        world.pass_time()
    assert np.flatnonzero(world.process.numa_nodes == 1)[-1] > 0.9 * TWIN_PAGES


def test_what_stalls_more_after_it_is_taken_back(tmp_path):
    world = World(tmp_path)
    while world.on == [0]:
        world.pass_time()
    world.pass_time(looks=int(TRIAL_SECONDS / LOOK_SECONDS) + 1, stall=0.4)
    assert world.on == [0]
    assert world.places.taken_back_total == 1
    world.pass_time(looks=5)
    assert world.on == [0]  # and is not tried again at once


def test_what_is_local_stays(tmp_path):
    world = World(tmp_path, cpu=0)
    world.pass_time(looks=20)
    assert not world.places.moves.outcomes
    assert world.places.local_share() == 1.0


@pytest.mark.parametrize("mems", ["0\n", "rubbish\n"])
def test_a_cpuset_of_the_kubelets_is_never_fought(tmp_path, mems):
    world = World(tmp_path)
    world.node.file(1, "cpuset.mems").write_text(mems)
    world.pass_time(looks=20)
    assert world.on == [0]


def test_a_cpuset_that_names_them_all_binds_nothing(tmp_path):
    world = World(tmp_path)
    world.node.file(1, "cpuset.mems").write_text("0-1\n")
    world.pass_time(looks=20)
    assert world.on == [1]


def test_without_a_policy_nothing_is_looked_at_and_the_actor_refuses(tmp_path):
    world = World(tmp_path)
    world.actor.permit([])
    world.pass_time(looks=20)
    assert world.on == [0]
    assert set(world.places.moves.outcomes) == {"refused"}
    world.places.step([], world.now + 100)
    assert world.places.plans == {}


def test_one_numa_node_has_nothing_to_move(tmp_path):
    world = World(tmp_path, numa_nodes=1)
    world.pass_time(looks=20)
    assert world.places.plans == {}


def test_where_there_is_room_for_a_part_only_single_pages_move(tmp_path):
    world = World(tmp_path)
    little = MEMINFO.format(1, 8 * GIB // 1024, (8 * GIB // 20 + 2 * MIB) // 1024)  # the reserve and 2 MiB
    world.node.tree.write(tmp_path / "sys/devices/system/node/node1/meminfo", little)
    while world.on == [0]:
        world.pass_time()
    assert world.on == [0, 1]
    moved = np.count_nonzero(world.process.numa_nodes == 1) * PAGE_BYTES
    assert 2 * MIB - PAGE_BYTES <= moved <= 2 * MIB  # whole pages
    assert world.places.moves.moved_bytes_total == moved


def test_page_cache_is_no_reason_to_leave_memory_remote(tmp_path):
    world = World(tmp_path)
    warm = MEMINFO.format(1, 8 * GIB // 1024, 100 * 1024) + f"Node 1 Inactive(file): {4 * GIB // 1024} kB\n"
    world.node.tree.write(tmp_path / "sys/devices/system/node/node1/meminfo", warm)
    world.pass_time(looks=10)
    assert world.on == [1]


def test_bind_names_the_numa_node_once_its_memory_has_moved_and_its_cpus_have_stayed(tmp_path):
    world = World(tmp_path).bound_world()
    world.pass_time(looks=10)
    assert (world.on, world.mems) == ([1], "")  # moved, and on trial
    world.pass_time(looks=15)
    assert world.mems == "1"
    world.pass_time(looks=10)
    assert world.mems == "1"  # our own is not taken for somebody else's


def test_prefer_binds_nothing(tmp_path):
    world = World(tmp_path).bound_world()
    world.binds = False
    world.pass_time(looks=40)
    assert (world.on, world.mems) == ([1], "")


def test_without_a_bound_on_what_it_may_take_nothing_is_bound(tmp_path):
    world = World(tmp_path).bound_world(most="max")
    world.pass_time(looks=40)
    assert world.mems == ""


def test_the_static_managers_of_the_kubelet_are_not_fought_by_bind(tmp_path):
    world = World(tmp_path).bound_world()
    world.node.file(1, "cpuset.mems").write_text("0\n")
    world.pass_time(looks=40)
    assert (world.on, world.mems) == ([0], "0")


def test_who_names_numa_nodes_later_has_them_from_then_on(tmp_path):
    world = World(tmp_path).bound_world()
    world.pass_time(looks=30)
    world.node.file(1, "cpuset.mems").write_text("0\n")
    world.pass_time(looks=30)
    assert world.mems == "0"
    assert world.node.journal().names() == []


def test_it_is_let_go_when_the_room_gets_less_and_when_the_policy_says_prefer(tmp_path):
    world = World(tmp_path).bound_world()
    world.pass_time(looks=30)
    meminfo = tmp_path / "sys/devices/system/node/node1/meminfo"
    little = MEMINFO.format(1, 8 * GIB // 1024, 400 * MIB // 1024)
    before = meminfo.read_text()
    world.node.tree.write(meminfo, little)
    world.pass_time()
    assert world.mems == ""
    world.node.tree.write(meminfo, before)
    world.pass_time()
    assert world.mems == "1"
    world.binds = False
    world.pass_time()
    assert world.mems == ""


def test_more_stalls_let_it_go(tmp_path):
    world = World(tmp_path).bound_world()
    world.pass_time(looks=30)
    world.pass_time(looks=3, stall=0.4)
    assert world.mems == ""
    world.pass_time(looks=10)
    assert world.mems == ""


def test_without_psi_it_is_let_go(tmp_path):
    world = World(tmp_path).bound_world()
    world.pass_time(looks=30)
    world.node.file(1, "memory.pressure").unlink()
    world.now += LOOK_SECONDS
    world.watch.discover()
    samples = world.watch.sample(world.now).samples
    world.places.step(samples, world.now, {each.container.key for each in samples})
    assert world.mems == ""
