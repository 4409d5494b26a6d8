"""`plimsoll pause` and `resume`: the ConfigMap that the operator's index reads, made where it is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll.install import install_hint
from plimsoll_operator import handlers, leader, parse

CONTROL = "/api/v1/namespaces/plimsoll-system/configmaps/plimsoll-control"


def paused(world):
    """As the operator reads it."""
    return parse.control(world.get(CONTROL)).paused


def test_pause_makes_the_switch_where_there_is_none(plimsoll, own_world):
    result = plimsoll("pause", at=own_world)
    assert result.exit_code == 0, result.stderr
    assert paused(own_world) is True
    assert "within one loop" in result.stdout


def test_resume_turns_it_back(plimsoll, own_world):
    plimsoll("pause", at=own_world)
    result = plimsoll("resume", at=own_world)
    assert paused(own_world) is False
    assert "acts again" in result.stdout


def test_other_data_of_the_switch_is_kept(plimsoll, own_world):
    body = {"metadata": {"name": "plimsoll-control"}, "data": {"note": "by hand"}}
    own_world.http.post(CONTROL.rpartition("/")[0], json=body).raise_for_status()
    plimsoll("pause", at=own_world)
    assert own_world.get(CONTROL)["data"] == {"note": "by hand", "paused": "true"}


@pytest.mark.parametrize(
    ("commands", "sentence"),
    [(("pause", "pause"), "was paused already"), (("resume", "resume"), "was not paused")],
)
def test_twice_is_said(plimsoll, own_world, commands, sentence):
    first, second = commands
    plimsoll(first, at=own_world)
    result = plimsoll(second, at=own_world)
    assert (result.exit_code, sentence in result.stdout) == (0, True)


def test_another_namespace_by_flag_or_environment(plimsoll, own_world, monkeypatch):
    plimsoll("pause", "--operator-namespace", "demo", at=own_world)
    assert own_world.get(CONTROL.replace("plimsoll-system", "demo"))["data"] == {"paused": "true"}
    monkeypatch.setenv("PLIMSOLL_NAMESPACE", "demo")
    assert "was paused already" in plimsoll("pause", at=own_world).stdout


def test_names_agree_with_the_operators():
    from plimsoll_cli.operator_health import LEASE_NAME
    from plimsoll_cli.pause import CONTROL_CONFIG_MAP

    assert (CONTROL_CONFIG_MAP, LEASE_NAME) == (handlers.CONTROL_CONFIG_MAP, leader.LEASE_NAME)


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_namespace_that_is_not_there_is_named(plimsoll, own_world, command):
    result = plimsoll(command, "--operator-namespace", "nowhere", at=own_world)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "namespace nowhere does not exist" in result.stderr


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_forbidden_and_unreachable_are_said(plimsoll, own_world, command, tmp_path):
    away = tmp_path / "away"
    away.write_text(own_world.kubeconfig.read_text().replace(own_world.fake.url, "http://127.0.0.1:1"))
    assert "cannot reach the API server" in plimsoll(command, "--kubeconfig", away).stderr
    own_world.forbid("configmaps")
    result = plimsoll(command, at=own_world)
    assert result.exit_code == 2
    assert "not allowed (403)" in result.stderr


def test_no_kubeconfig_is_said(plimsoll):
    result = plimsoll("pause")
    assert (result.exit_code, "no kubeconfig" in result.stderr) == (2, True)


def test_kubectl_finds_it_as_a_plugin(own_world):
    """`kubectl plimsoll ...` runs `kubectl-plimsoll ...` from the PATH."""
    script = Path(sys.executable).parent / "kubectl-plimsoll"
    done = subprocess.run(
        [script, "pause"],
        env={**os.environ, "KUBECONFIG": str(own_world.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "paused" in done.stdout
    assert paused(own_world) is True


def test_without_the_extra_the_sentence_names_it(own_world):
    code = (
        "import sys\n"
        "sys.modules['kubernetes'] = None\n"
        "from plimsoll_cli.main import main\n"
        "sys.argv = ['plimsoll', 'pause']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KUBECONFIG": str(own_world.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert install_hint("operator") in done.stderr
    assert "Traceback" not in done.stderr
