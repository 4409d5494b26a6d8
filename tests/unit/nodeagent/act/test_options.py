import argparse

import pytest

from builders.twin_node import MIB, TwinNode
from plimsoll_nodeagent.act.options import add_acting_flags, mount, open_actor, open_door
from plimsoll_nodeagent.kernelfs import Mode


def parsed(root, *flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_acting_flags(parser)
    options = parser.parse_args([*flags, f"--state-dir={root}/state"])
    options.root = root
    return options


def test_without_a_flag_the_agent_only_watches(tmp_path):
    options = parsed(tmp_path)
    fs = open_door(options)
    assert fs.mode is Mode.READ
    assert open_actor(options, fs) is None
    assert not (tmp_path / "state").exists()


def test_an_agent_that_may_act_first_takes_back_what_was_left(tmp_path):
    node = TwinNode(tmp_path)
    node.actor(node.container()).lease(node.container(), 32 * MIB, 30)  # and then it was killed
    options = parsed(tmp_path, "--act")
    assert open_actor(options, open_door(options)) is not None
    assert node.file(1, "memory.high").read_text() == "max\n"
    assert node.journal().names() == []


def test_a_dry_run_takes_nothing_back_and_forgets_nothing(tmp_path):
    node = TwinNode(tmp_path)
    node.actor(node.container()).lease(node.container(), 32 * MIB, 30)
    options = parsed(tmp_path, "--dry-run")
    fs = open_door(options)
    assert open_actor(options, fs) is not None
    assert node.file(1, "memory.high").read_text().strip() == str(32 * MIB)
    assert len(node.journal().names()) == 1


def test_without_a_place_for_the_journal_it_does_not_act(tmp_path):
    (tmp_path / "state").write_text("a file")
    options = parsed(tmp_path, "--act")
    with pytest.raises(OSError, match="exists"):
        open_actor(options, open_door(options))


def test_a_part_of_the_kernel_s_files_may_be_elsewhere(tmp_path):
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm/x").write_text("here\n")
    fs = open_door(parsed(tmp_path, f"--mount=/sys/kernel/mm={tmp_path}/mm"))
    assert fs.read("/sys/kernel/mm/x") == "here\n"
    assert fs.read("/sys/kernel/mmm/x") != "here\n"


@pytest.mark.parametrize("text", ["", "/a", "a=/b", "/a=b", "=/b"])
def test_what_is_no_mount_is_said(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no mount"):
        mount(text)


def test_acting_and_a_dry_run_exclude_each_other(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parsed(tmp_path, "--act", "--dry-run")
    assert "not allowed with" in capsys.readouterr().err
