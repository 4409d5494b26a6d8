"""`helm install` on an empty cluster, and that is all."""

import errno

from builders.e2e.cluster import REPOSITORY
from builders.e2e.kernel import process_status


def test_operator_and_agents_are_ready(cluster, release):
    operators, agents = release.pods("operator"), release.pods("agent")

    assert len(operators) == 1
    assert {each["spec"]["nodeName"] for each in agents} == {
        each["metadata"]["name"] for each in cluster.items("nodes")
    }
    for pod in operators + agents:
        assert all(status["ready"] for status in pod["status"]["containerStatuses"]), pod["metadata"]["name"]


def test_the_kernel_confines_the_operator(cluster, release):
    (operator,) = release.pods("operator")
    fields = process_status(cluster, operator, "operator")
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert set(fields["Uid"].split()) == {"65532"}
    assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "1")


def test_the_agents_seccomp_profile_is_ours_and_not_the_runtimes(cluster, release):
    # The runtime's own profile lets chmod through, and then a read-only file system refuses it otherwise.
    tried = "import os\ntry: os.chmod('/', 0o755)\nexcept OSError as error: print(error.errno)"
    for agent in release.agents():
        whose = ("-n", agent["metadata"]["namespace"], "exec", agent["metadata"]["name"], "-c", "agent")
        said = cluster.kube(*whose, "--", "/opt/plimsoll/bin/python", "-c", tried)
        assert int(said) == errno.ENOSYS, agent["spec"]["nodeName"]


def test_the_chart_tests_itself(release):
    release.helm("test", name=release.name, timeout=600)


def test_an_image_carries_the_lock_of_what_is_in_it(cluster, release):
    for component in ("operator", "agent"):
        pod, *_ = release.pods(component)
        whose = ("-n", pod["metadata"]["namespace"], "exec", pod["metadata"]["name"], "-c", component, "--")
        lock = cluster.kube(*whose, "cat", f"/opt/plimsoll/{component}.lock")
        assert lock == (REPOSITORY / "requirements" / f"{component}.lock").read_text()
