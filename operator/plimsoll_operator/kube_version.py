"""Which Kubernetes this is, asked now and then: resizing in place is stable from 1.35 on.

In: an API client, the time. Out: the version as the API server says it ("v1.37.1"), and whether it will do.
"""

import logging

from plimsoll_operator.actuate.api import ApiError, KubeApi

logger = logging.getLogger(__name__)

ASK_SECONDS = 3600.0  # how often the API server is asked
MINIMUM_VERSION = (1, 35)


class KubeVersion:
    """The version that was last told."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._version = ""
        self._asked_seconds = float("-inf")

    async def known(self, now_seconds: float) -> str:
        """Return the version, asked again when it is old; "" until there has been an answer."""
        if not self._version or now_seconds - self._asked_seconds >= ASK_SECONDS:
            try:
                self._version, self._asked_seconds = await self._api.version(), now_seconds
            except ApiError as error:
                logger.warning("version of the API server not read: %s", error)
        return self._version


def supported(version: str) -> bool:
    """True for Kubernetes 1.35 and newer; a version nobody can read is not."""
    parts = version.removeprefix("v").split(".")
    try:
        return (int(parts[0]), int(parts[1].rstrip("+"))) >= MINIMUM_VERSION
    except (IndexError, ValueError):
        return False
