"""Whose token an agent shows: TokenReview, asked at most once a minute for each token.

In: tokens. Out: `TokenFacts` of the core, or ReviewError where the API server did not answer. Yes and no are
both remembered, for at most 60 s, and by a digest: no token is kept. Agents that come together with one token
wait for one review.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from plimsoll.coordinate.authority import TokenFacts
from plimsoll_operator.actuate.api import TOKEN_REVIEWS, ApiError, KubeApi

NODE_NAME = "authentication.kubernetes.io/node-name"
REMEMBERED_SECONDS = 60.0
MOST_REMEMBERED = 20_000
LONGEST_TOKEN = 8192
REVIEWS_AT_ONCE = 32


class ReviewError(RuntimeError):
    """The API server did not say whose token it is: nobody is let in, and nobody is called a liar."""


class Tokens:
    """Reviews of one operator process. `monotonic` is a clock in seconds that only counts up."""

    def __init__(self, api: KubeApi, audience: str, monotonic: Callable[[], float]) -> None:
        self._api, self._audience, self._monotonic = api, audience, monotonic
        self._known: OrderedDict[bytes, tuple[float, TokenFacts]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[TokenFacts]] = {}
        self._gate = asyncio.Semaphore(REVIEWS_AT_ONCE)
        self.reviews_total = 0

    async def facts(self, token: str, *, anew: bool = False) -> TokenFacts:
        """What the API server says of a token; `anew`: now, whatever is remembered. Raises ReviewError."""
        if not token or len(token) > LONGEST_TOKEN:
            return TokenFacts(authenticated=False, problem="there is none, or it is too long to be one")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and not anew and 0.0 <= self._monotonic() - known[0] < REMEMBERED_SECONDS:
            return known[1]
        task = self._asked.get(digest)
        if task is None:
            task = self._asked[digest] = asyncio.create_task(self._review(token, digest))
            task.add_done_callback(lambda _: self._asked.pop(digest, None))
        return await asyncio.shield(task)

    async def _review(self, token: str, digest: bytes) -> TokenFacts:
        asked_at = self._monotonic()
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        async with self._gate:
            self.reviews_total += 1
            try:
                answer = await self._api.create(TOKEN_REVIEWS, "", body)
            except ApiError as error:
                raise ReviewError(f"TokenReview: {error.status} {error.reason}") from None
        found = facts_of(answer.get("status") or {})
        self._known[digest] = (asked_at, found)
        self._known.move_to_end(digest)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return found


def facts_of(status: Mapping[str, Any]) -> TokenFacts:
    """Read the status of a TokenReview; whatever is missing counts against the token."""
    user = status.get("user") or {}
    named = list((user.get("extra") or {}).get(NODE_NAME) or [])
    return TokenFacts(
        authenticated=status.get("authenticated") is True and not status.get("error"),
        username=str(user.get("username", "")),
        kube_node=str(named[0]) if len(named) == 1 else "",
        audiences=tuple(map(str, status.get("audiences") or ())),
        problem=str(status.get("error", "")),
    )
