"""In: flags and environment. Out: typed settings, or an exit with a sentence."""

import pytest

from plimsoll_operator.settings import settings_from


def test_flags_win_over_the_environment():
    read = settings_from(["--interval", "30s"], {"PLIMSOLL_INTERVAL": "5m", "PLIMSOLL_NAMESPACE": "ours"})
    assert (read.interval, read.namespace) == (30.0, "ours")


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("90", 90.0), ("2h", 7200.0), ("1.5m", 90.0)])
def test_durations(text, seconds):
    assert settings_from(["--settle", text], {}).settle == seconds


@pytest.mark.parametrize(
    "arguments",
    [
        ["--interval", "soon"],
        ["--usage-source", "guess"],
        ["--metrics-port", "99999"],
        ["--interval", "0s"],
        ["--lease-renew", "30s"],
        ["--lease-renew", "1s", "--lease-duration", "1s"],
        ["--x", "1"],
    ],
)
def test_nonsense_is_refused_with_the_flags_name(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        settings_from(arguments, {})
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_booleans_have_both_forms():
    assert not settings_from(["--no-wake-on-oom"], {}).wake_on_oom
    assert settings_from([], {"PLIMSOLL_NODE_PROXY": "true"}).node_proxy


def test_the_identity_is_the_pods_name_in_a_cluster():
    read = settings_from([], {})
    assert read.own_identity({"POD_NAME": "plimsoll-operator-7d9"}) == "plimsoll-operator-7d9"
    assert read.own_identity({})
    assert settings_from(["--identity", "me"], {}).own_identity({"POD_NAME": "x"}) == "me"


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        settings_from(["--help"], {})
    text = capsys.readouterr().out
    for name in type(settings_from([], {})).model_fields:
        assert f"--{name.replace('_', '-')}" in text


def test_no_cluster_wide_policy_reaches_operator_or_agents():
    assert settings_from([], {}).own_namespaces == {"plimsoll-system"}
    apart = settings_from(["--namespace", "control", "--agents-namespace", "agents"], {})
    assert apart.own_namespaces == {"control", "agents"}


@pytest.mark.parametrize(
    ("host", "address"), [("10.0.0.1", "10.0.0.1:8444"), ("fd00::1", "[fd00::1]:8444"), ("", "")]
)
def test_an_address_for_other_replicas_is_a_host_and_the_port_for_agents(host, address):
    assert settings_from(["--agents-port", "8444", "--agents-host", host], {}).agents_address == address
    assert settings_from(["--agents-host", host], {}).agents_address == ""
