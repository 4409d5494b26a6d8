"""Which Kubernetes it is: asked once an hour, kept where there is no answer."""

import pytest

from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.kube_version import ASK_SECONDS, KubeVersion, supported


class Api:
    def __init__(self) -> None:
        self.answers: list[str | ApiError] = []

    async def version(self) -> str:
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


async def test_is_asked_again_only_when_old():
    api = Api()
    api.answers = ["v1.36.0", "v1.37.1"]
    version = KubeVersion(api)
    assert [await version.known(at) for at in (0.0, ASK_SECONDS - 1, ASK_SECONDS)] == [
        "v1.36.0",
        "v1.36.0",
        "v1.37.1",
    ]


async def test_without_an_answer_what_was_known_stays_and_the_next_loop_asks():
    api = Api()
    api.answers = ["v1.36.0", ApiError(503, "Unavailable", "later"), "v1.37.1"]
    version = KubeVersion(api)
    assert await version.known(0.0) == "v1.36.0"
    assert await version.known(ASK_SECONDS) == "v1.36.0"
    assert await version.known(ASK_SECONDS + 1) == "v1.37.1"


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("v1.35.0", True),
        ("v1.37+", True),
        ("v2.0", True),
        ("v1.34.9", False),
        ("", False),
        ("v1", False),
        ("dev", False),
    ],
)
def test_what_is_supported(version, enough):
    assert supported(version) is enough
