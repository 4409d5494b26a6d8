"""Lines from the machine: whole ones are read as they come, torn ones left out, an early end is an error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def vm():
    sys.path.append(str(ROOT / "bench"))
    try:
        import node_vm
    finally:
        sys.path.remove(str(ROOT / "bench"))
    return node_vm


@pytest.fixture
def ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process


def test_only_whole_objects_with_a_kind_are_lines(vm):
    text = '{"kind": "machine"}\n[1]\n{"round": 1}\n{"kind": "blo\n\n{"kind": "end"}'
    assert [each["kind"] for each in vm.parsed(text)] == ["machine", "end"]


def test_lines_end_with_the_guest_s_end(vm, ended, tmp_path):
    kinds = ("machine", "block", "end", "block")
    (tmp_path / "lines").write_text("".join(json.dumps({"kind": kind}) + "\n" for kind in kinds))
    assert [each["kind"] for each in vm.Guest(ended, tmp_path).lines(5)] == ["machine", "block", "end"]


def test_a_machine_that_ends_early_is_an_error_with_its_console(vm, ended, tmp_path):
    (tmp_path / "lines").write_text('{"kind": "machine"}\n{"kind": "bl')
    (tmp_path / "console.log").write_text("Kernel panic - not syncing")
    lines = vm.Guest(ended, tmp_path).lines(5)
    assert next(lines)["kind"] == "machine"
    with pytest.raises(vm.MachineError, match=r"before its time.*Kernel panic"):
        next(lines)


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_every_cpu_is_on_one_of_two_numa_nodes(vm, cpus, tmp_path):
    command = vm._command(vm.Machine(1024, cpus, 256, idle=True), tmp_path, tmp_path)
    said = " ".join(command)
    assert "nodeid=0" in said
    assert "nodeid=1" in said
    assert ("nodeid=1,cpus=" in said) == (cpus > 1)
    assert said.startswith("unshare --net chrt --idle 0 nice -n 19 qemu-system-x86_64")
    assert "-nic none" in said
