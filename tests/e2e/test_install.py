"""`helm install` on an empty cluster, and that is all."""

from builders.e2e.cluster import REPOSITORY


def test_operator_and_agents_are_ready(cluster, release):
    operators, agents = release.pods("operator"), release.pods("agent")

    assert len(operators) == 1
    assert {each["spec"]["nodeName"] for each in agents} == {
        each["metadata"]["name"] for each in cluster.items("nodes")
    }
    for pod in operators + agents:
        assert all(status["ready"] for status in pod["status"]["containerStatuses"]), pod["metadata"]["name"]


def test_the_chart_tests_itself(release):
    release.helm("test", name=release.name, timeout=600)


def test_an_image_carries_the_lock_of_what_is_in_it(cluster, release):
    for component in ("operator", "agent"):
        pod, *_ = release.pods(component)
        whose = ("-n", pod["metadata"]["namespace"], "exec", pod["metadata"]["name"], "-c", component, "--")
        lock = cluster.kube(*whose, "cat", f"/opt/plimsoll/{component}.lock")
        assert lock == (REPOSITORY / "requirements" / f"{component}.lock").read_text()
