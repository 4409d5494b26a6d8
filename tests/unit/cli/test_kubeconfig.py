"""Kubeconfigs that cannot be used: one sentence that names the file and what of it is wrong."""

import copy

import pytest
import yaml

WHOLE = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "here",
    "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "me", "user": {}}],
    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
}
PLUGIN = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}}


def changed(**parts):
    return yaml.safe_dump({**copy.deepcopy(WHOLE), **parts})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (changed(users=[{"name": "me", "user": PLUGIN}]), "no-such-plugin"),
        (changed(clusters=[{"name": "here", "cluster": {"server": 5}}]), "the server 5, which is no address"),
        (changed(clusters={"here": {}}), "config/clusters list"),
        (changed(users=["me"]), "config/users list"),
        ("- a\n- b\n", "it holds no mapping"),
        ("a: [\nb: c\n", "while parsing"),
        ("a: !!bool zz\n", "is not YAML that can be read: 'zz'"),
        ("a: !!timestamp zz\n", "is not YAML that can be read"),
    ],
)
def test_what_is_wrong_is_one_line(plimsoll, tmp_path, text, why):
    path = tmp_path / "config"
    path.write_text(text)
    result = plimsoll("status", "--kubeconfig", path)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert f"kubeconfig {path}" in line
    assert why in line


def test_a_directory_is_told_apart_from_nothing(plimsoll, tmp_path):
    result = plimsoll("status", "--kubeconfig", tmp_path)
    assert (result.exit_code, "is a directory" in result.stderr) == (2, True)
