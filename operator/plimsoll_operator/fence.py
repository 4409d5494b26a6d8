"""The API as the loop may use it: every write asks for leadership first, and every write is counted.

In: the real API, a check that raises where we may not write, metrics. Out: the same protocol. Reads pass
through.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from plimsoll_operator.actuate.api import ApiError, Body, KubeApi, MemoryValues, PodRef, Resource

Answer = TypeVar("Answer")
Check = Callable[[], None]
Count = Callable[[str, int], None]  # what was written, HTTP status


class FencedApi:
    """`KubeApi` behind a check and a counter."""

    def __init__(self, api: KubeApi, check: Check, count: Count) -> None:
        self._api = api
        self._check = check
        self._count = count

    async def version(self) -> str:
        """See `KubeApi.version`."""
        return await self._api.version()

    async def read(self, resource: Resource, namespace: str, name: str) -> Body:
        """See `KubeApi.read`."""
        return await self._api.read(resource, namespace, name)

    async def read_path(self, path: str) -> Body:
        """See `KubeApi.read_path`."""
        return await self._api.read_path(path)

    async def count(self, resource: Resource) -> int:
        """See `KubeApi.count`."""
        return await self._api.count(resource)

    async def page(self, resource: Resource, limit: int, token: str = "") -> tuple[list[Body], str]:
        """See `KubeApi.page`."""
        return await self._api.page(resource, limit, token)

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """See `KubeApi.create`."""
        return await self._write(resource.plural, lambda: self._api.create(resource, namespace, body))

    async def replace(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """See `KubeApi.replace`."""
        return await self._write(resource.plural, lambda: self._api.replace(resource, namespace, name, body))

    async def patch_status(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """See `KubeApi.patch_status`."""
        return await self._write(
            f"{resource.plural}/status", lambda: self._api.patch_status(resource, namespace, name, body)
        )

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """See `KubeApi.delete`."""
        await self._write(resource.plural, lambda: self._api.delete(resource, namespace, name, uid))

    async def resize(self, pod: PodRef, values: Mapping[str, MemoryValues]) -> Body:
        """See `KubeApi.resize`."""
        return await self._write("pods/resize", lambda: self._api.resize(pod, values))

    async def evict(self, pod: PodRef, *, dry_run: bool = False) -> None:
        """See `KubeApi.evict`."""
        await self._write("pods/eviction", lambda: self._api.evict(pod, dry_run=dry_run))

    async def lift_gate(self, pod: PodRef) -> Body:
        """See `KubeApi.lift_gate`."""
        return await self._write("pods", lambda: self._api.lift_gate(pod))

    async def close(self) -> None:
        """See `KubeApi.close`."""
        await self._api.close()

    async def _write(self, what: str, write: Callable[[], Awaitable[Answer]]) -> Answer:
        self._check()
        try:
            answer = await write()
        except ApiError as error:
            self._count(what, error.status)
            raise
        self._count(what, 200)
        return answer
