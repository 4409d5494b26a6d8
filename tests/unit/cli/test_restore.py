"""`plimsoll restore`: what is written into the profile, and what is refused."""

import pytest

PROFILES = "/apis/plimsoll.dev/v1alpha1/namespaces/demo/memoryprofiles"
WEB = "demo/Deployment/web"


def asked(world, name="deployment-web"):
    return world.get(f"{PROFILES}/{name}")["spec"].get("restore", False)


def test_asks_for_the_original_resources_and_names_them(plimsoll, own_world):
    result = plimsoll("restore", WEB, at=own_world)
    assert result.exit_code == 0, result.stderr
    assert asked(own_world) is True
    assert "main request 400Mi, limit 512Mi" in result.stdout
    assert f"plimsoll restore {WEB} --undo" in result.stdout


def test_undo_ends_it(plimsoll, own_world):
    plimsoll("restore", WEB, at=own_world)
    result = plimsoll("restore", "deploy/web", "-n", "demo", "--undo", at=own_world)
    assert asked(own_world) is False
    assert "acts on it again" in result.stdout


@pytest.mark.parametrize("flags", [(), ("--undo",)])
def test_asking_twice_writes_once(plimsoll, own_world, flags):
    plimsoll("restore", WEB, at=own_world)
    plimsoll("restore", WEB, *flags, at=own_world)
    version = own_world.get(f"{PROFILES}/deployment-web")["metadata"]["resourceVersion"]
    result = plimsoll("restore", WEB, *flags, at=own_world)
    assert result.exit_code == 0
    assert own_world.get(f"{PROFILES}/deployment-web")["metadata"]["resourceVersion"] == version
    assert ("was not being restored" if flags else "is being restored already") in result.stdout


def test_nothing_but_the_wish_is_written(plimsoll, own_world):
    before = own_world.get(f"{PROFILES}/deployment-web")
    plimsoll("restore", WEB, at=own_world)
    after = own_world.get(f"{PROFILES}/deployment-web")
    assert after["status"] == before["status"]
    assert after["spec"] == before["spec"] | {"restore": True}


def test_what_was_never_touched_cannot_be_restored(plimsoll, own_world):
    result = plimsoll("restore", "demo/ds/log", at=own_world)
    assert result.exit_code == 1
    assert "no original resources are on record yet" in result.stderr
    assert not any(asked(own_world, f"daemonset-log-{each}") for each in ("small", "large"))


def test_undo_reaches_every_profile_of_a_daemonset(plimsoll, own_world):
    headers = {"Content-Type": "application/merge-patch+json"}
    for each in ("small", "large"):
        body = {"spec": {"restore": True}}
        own_world.http.patch(f"{PROFILES}/daemonset-log-{each}", json=body, headers=headers)
    plimsoll("restore", "log", "--undo", at=own_world)
    assert not any(asked(own_world, f"daemonset-log-{each}") for each in ("small", "large"))


def test_an_ambiguous_name_restores_nothing(plimsoll, own_world):
    result = plimsoll("restore", "web", at=own_world)
    assert (result.exit_code, asked(own_world)) == (1, False)
    assert "demo/Deployment/web or shop/Deployment/web" in result.stderr


def test_a_write_that_is_refused_is_said(plimsoll, own_world):
    from plimsoll_cli.sandbox.api.faults import FaultRule

    rule = FaultRule(code=403, verbs=frozenset({"patch"}), plural="memoryprofiles")
    own_world.fake.call(own_world.fake.api.faults.rules.append, rule)
    result = plimsoll("restore", WEB, at=own_world)
    assert result.exit_code == 2
    assert "not allowed (403)" in result.stderr
    assert "Traceback" not in result.stderr
