import gc
import shutil
import sys

import pytest

from builders.cgroup_tree import CGROUPFS, SYSTEMD, CgroupTree, Naming, container_id, nested, uid
from plimsoll_nodeagent.discover.tracker import SEARCH_EVERY_LOOKS, Tracker
from plimsoll_nodeagent.kernelfs import Absence, KernelFs

ROOT = "/sys/fs/cgroup"
NAMINGS = [
    CGROUPFS,
    SYSTEMD,
    Naming(prefix="crio-"),
    Naming(systemd=True, prefix="crio-"),
    nested(CGROUPFS),
    nested(SYSTEMD),
]


class HidingFs(KernelFs):
    """Directories whose path contains a word cannot be listed, for the given reason."""

    word, why = "never", Absence.DENIED

    def directories(self, path):
        return self.why if self.word in path else super().directories(path)


@pytest.mark.parametrize("naming", NAMINGS, ids=str)
@pytest.mark.parametrize("qos", ["guaranteed", "burstable", "besteffort"])
def test_a_container_is_found_with_its_pod_and_qos(tmp_path, naming, qos):
    tree = CgroupTree(tmp_path, naming)
    path = tree.container(7, pod=3, qos=qos)
    tracker = Tracker(tree.fs, ROOT)
    [found] = tracker.look().added
    assert (found.pod_uid, found.container_id, found.qos) == (uid(3), container_id(7), qos)
    assert found.cgroup_inode == path.stat().st_ino
    assert found.path == f"/{path.relative_to(tmp_path)}"
    assert tracker.pods == 1


def test_a_second_look_changes_nothing(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container()
    tracker = Tracker(tree.fs, ROOT)
    tracker.look()
    assert tracker.look() == type(tracker.look())((), ())


def test_what_is_not_a_container_is_passed_by(tmp_path):
    tree = CgroupTree(tmp_path, Naming(systemd=True, prefix="crio-"))
    tree.container()
    (tree.pod_path(1) / f"crio-conmon-{container_id(1)}.scope").mkdir()
    (tree.pod_path(1) / "made by hand").mkdir()
    (tree.cgroups / "kubepods.slice" / "other.service").mkdir()
    assert len(Tracker(tree.fs, ROOT).look().added) == 1


def test_another_cgroup_at_the_same_path_is_another_container(tmp_path):
    tree = CgroupTree(tmp_path)
    path = tree.container()
    tracker = Tracker(tree.fs, ROOT)
    [before] = tracker.look().added
    path.rename(tmp_path / "kept, so that the inode is not given again")
    tree.container()
    change = tracker.look()
    assert change.removed == (before,)
    assert [each.path for each in change.added] == [before.path]
    assert change.added[0].key != before.key


def test_a_container_that_cannot_be_listed_is_held(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container(1, pod=1)
    tree.container(2, pod=2)
    fs = HidingFs(tmp_path)
    tracker = Tracker(fs, ROOT)
    tracker.look()
    fs.word = uid(1)
    assert tracker.look().removed == ()
    fs.word = "burstable"
    assert tracker.look().removed == ()
    assert tracker.pods == 2
    assert tracker.failures == {Absence.DENIED: 1 + 3}  # a pod; then its group and both pods


def test_a_pod_that_goes_while_it_is_listed_is_forgotten(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container(1, pod=1)
    fs = HidingFs(tmp_path)
    tracker = Tracker(fs, ROOT)
    tracker.look()
    fs.word, fs.why = uid(1), Absence.GONE
    assert len(tracker.look().removed) == 1


def test_a_kubelet_that_is_set_up_anew_is_found(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container()
    tracker = Tracker(tree.fs, ROOT)
    tracker.look()
    shutil.rmtree(tree.cgroups / "kubepods")
    CgroupTree(tmp_path, SYSTEMD).container(2)
    change = tracker.look()
    assert [each.container_id for each in change.removed] == [container_id(1)]
    assert [each.container_id for each in change.added] == [container_id(2)]


def test_a_second_kubelet_beside_the_first_is_found_in_time(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container()
    tracker = Tracker(tree.fs, ROOT)
    tracker.look()
    CgroupTree(tmp_path, SYSTEMD).container(2, pod=2)
    for _ in range(SEARCH_EVERY_LOOKS):
        tracker.look()
    assert tracker.pods == 2


def test_two_hundred_pods_that_come_and_go_leave_nothing(tmp_path):
    tree = CgroupTree(tmp_path)
    tracker = Tracker(tree.fs, ROOT)
    tracker.look()
    sizes = []
    for turn in range(3):
        for pod in range(200):
            container = tree.pod_path(pod) / container_id(turn * 1000 + pod)
            container.mkdir(parents=True)
        assert len(tracker.look().added) == 200
        assert tracker.pods == 200
        for pod in range(200):
            tree.remove_pod(pod)
        assert len(tracker.look().removed) == 200
        gc.collect()
        sizes.append((len(tracker.containers), tracker.pods, sys.getsizeof(tracker.containers)))
    assert set(sizes) == {(0, 0, sizes[0][2])}
