import errno

import pytest

from builders.cgroup_tree import MEMINFO, CgroupTree, Memory
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.features import find_features

CGROUP = "/sys/fs/cgroup/kubepods"


class RefusingFs(KernelFs):
    """One file answers with an error."""

    def __init__(self, root, name, error) -> None:
        super().__init__(root)
        self.name, self.error = name, error

    def contents(self, path, directory):
        if path.endswith(self.name):
            raise OSError(self.error, "as told")
        return super().contents(path, directory)


def missing(features) -> dict[str, Absence]:
    return {each.what: each.why for each in features.missing}


def test_a_kernel_that_has_everything_misses_nothing(tmp_path):
    found = find_features(CgroupTree(tmp_path).fs, CGROUP)
    assert found.kernel == "7.2.12-test"
    assert found.missing == ()
    assert found.has("memory.peak")


@pytest.mark.parametrize("name", ["memory.peak", "memory.pressure", "memory.swap.current"])
def test_a_file_that_is_not_there_is_named_with_what_is_lost(tmp_path, name):
    tree = CgroupTree(tmp_path)
    (tree.cgroups / "kubepods" / name).unlink()
    found = find_features(tree.fs, CGROUP)
    assert missing(found) == {name: Absence.GONE}
    assert found.missing[0].without
    assert not found.has(name)


def test_psi_that_is_switched_off_is_unsupported(tmp_path):
    CgroupTree(tmp_path)
    found = find_features(RefusingFs(tmp_path, "/proc/pressure/memory", errno.EOPNOTSUPP), CGROUP)
    assert missing(found) == {"/proc/pressure/memory": Absence.UNSUPPORTED}


def test_a_file_that_is_busy_just_now_is_there(tmp_path):
    CgroupTree(tmp_path)
    found = find_features(RefusingFs(tmp_path, "memory.stat", errno.EAGAIN), CGROUP)
    assert found.has("memory.stat")
    assert found.missing == ()


def test_a_node_without_swap_and_a_kernel_without_anonymous_refaults(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.write(
        tmp_path / "proc/meminfo", MEMINFO.replace("SwapTotal:        524288", "SwapTotal:             0")
    )
    tree.write(
        tree.cgroups / "kubepods/memory.stat", Memory().files()["memory.stat"].replace("_anon 3", " 3")
    )
    assert missing(find_features(tree.fs, CGROUP)) == {
        "swap": Absence.GONE,
        "memory.stat workingset_refault_anon": Absence.UNSUPPORTED,
    }
