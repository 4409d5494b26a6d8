"""One watch: initial objects or missed changes, then every change as it happens, with bookmarks between.

In: a collection, a selection, the client's resourceVersion. Out: lines of JSON on a chunked response. A
version older than the log gets an ERROR event 410, which clients answer with a new list.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp.web

from .errors import ApiError, expired
from .operations import Operations, Selection
from .resources import ResourceType
from .store import Change, Collection, Watcher, encode

# A quiet watch gets a bookmark this often, so that its client's version does not fall out of the log.
BOOKMARK_SECONDS = 30.0
# A watch without timeoutSeconds ends after this long, as kube-apiserver's does after 30 to 60 minutes.
DEFAULT_TIMEOUT_SECONDS = 3600.0


def _line(kind: str, raw: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + raw + b"}\n"


def _bookmark(kind: ResourceType, version: int, *, initial_end: bool = False) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return _line(
        "BOOKMARK", encode({"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})
    )


def _changes(changes: list[Change], selection: Selection) -> bytes:
    lines = []
    for change in changes:
        kind = selection.event_kind(change)
        if kind is not None:
            lines.append(_line(kind, change.after.raw))
    return b"".join(lines)


class Watch:
    """The lines of one watch request."""

    def __init__(
        self, operations: Operations, kind: ResourceType, selection: Selection, query: Mapping[str, str]
    ) -> None:
        self._operations = operations
        self._kind = kind
        self._selection = selection
        self._bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        self._initial_events = query.get("sendInitialEvents") in ("true", "1")
        version = query.get("resourceVersion") or "0"
        self._since = int(version) if version.isdigit() else 0
        self._timeout = float(query.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS)

    async def lines(self) -> AsyncIterator[bytes]:
        """Chunks to write, until the watch's time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        collection = self._operations.store.collection(self._kind.id)
        watcher = Watcher()
        try:
            first = self._first(collection)
            collection.watchers.add(watcher)
            if first:
                yield first
            while (left := deadline - loop.time()) > 0:
                changes = await watcher.take(min(left, BOOKMARK_SECONDS))
                if changes:
                    if text := _changes(changes, self._selection):
                        yield text
                elif self._bookmarks:
                    yield _bookmark(self._kind, self._operations.store.version)
        except ApiError as error:
            yield _line("ERROR", encode(error.status()))
        finally:
            collection.watchers.discard(watcher)

    def _first(self, collection: Collection) -> bytes:
        version = self._operations.store.version
        if self._since > version:  # from another life of this API: the client must list again
            raise expired(self._since, version)
        if self._since and not self._initial_events:
            return _changes(collection.changes_since(self._since), self._selection)
        found = collection.page(None, self._selection.namespace)
        text = b"".join(_line("ADDED", stored.raw) for stored in found if self._selection.has(stored))
        if self._initial_events:
            text += _bookmark(self._kind, version, initial_end=True)
        return text


async def stream(request: aiohttp.web.BaseRequest, watch: Watch) -> aiohttp.web.StreamResponse:
    """Serve a watch on a chunked response; a client that goes away ends it."""
    response = aiohttp.web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for chunk in watch.lines():
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        pass
    return response
