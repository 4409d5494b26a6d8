"""`helm install` on an empty cluster, and that is all."""


def test_operator_and_agents_are_ready(cluster, release):
    operators, agents = release.pods("operator"), release.pods("agent")

    assert len(operators) == 1
    assert {each["spec"]["nodeName"] for each in agents} == {
        each["metadata"]["name"] for each in cluster.items("nodes")
    }
    for pod in operators + agents:
        assert all(status["ready"] for status in pod["status"]["containerStatuses"]), pod["metadata"]["name"]


def test_the_chart_tests_itself(release):
    release.helm("test", name=release.name, timeout=300)
