"""In: tokens and a clock. Out: what the API server says of them, asked as seldom as that is safe."""

import asyncio

import pytest

from builders.attending import AGENTS, Reviews
from plimsoll_operator.coordinate.tokens import LONGEST_TOKEN, NODE_NAME, ReviewError, Tokens, facts_of


class At:
    """Tokens at a time that is moved by hand."""

    def __init__(self):
        self.seconds = 1000.0
        self.reviews = Reviews({"good": "node-a"})
        self.tokens = Tokens(self.reviews, "plimsoll", lambda: self.seconds)


async def test_a_review_is_believed_for_a_minute_and_no_longer():
    at = At()
    assert (await at.tokens.facts("good")).kube_node == "node-a"
    at.reviews.kube_nodes.clear()  # withdrawn
    at.seconds += 59.0
    assert (await at.tokens.facts("good")).authenticated
    at.seconds += 1.0
    assert not (await at.tokens.facts("good")).authenticated
    assert at.reviews.asked == 2


async def test_a_no_is_remembered_too():
    at = At()
    for _ in range(5):
        assert not (await at.tokens.facts("bad")).authenticated
    assert at.reviews.asked == 1


async def test_agents_that_come_together_with_one_token_wait_for_one_review():
    at = At()
    found = await asyncio.gather(*(at.tokens.facts("good") for _ in range(50)))
    assert {each.kube_node for each in found} == {"node-a"}
    assert at.reviews.asked == 1


async def test_an_api_server_that_is_away_is_no_answer_and_is_asked_again():
    at = At()
    at.reviews.down = True
    with pytest.raises(ReviewError, match="503"):
        await at.tokens.facts("good")
    at.reviews.down = False
    assert (await at.tokens.facts("good")).authenticated


@pytest.mark.parametrize("token", ["", "x" * (LONGEST_TOKEN + 1)])
async def test_what_is_no_token_is_not_reviewed(token):
    at = At()
    assert not (await at.tokens.facts(token)).authenticated
    assert at.reviews.asked == 0


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": "true", "user": {"username": AGENTS}},
        {"authenticated": True, "error": "audience", "user": {"username": AGENTS}},
    ],
)
def test_whatever_is_missing_counts_against_the_token(status):
    assert not facts_of(status).authenticated


def test_a_token_with_two_nodes_or_none_is_bound_to_none():
    for nodes in ([], ["a", "b"]):
        status = {"authenticated": True, "user": {"username": AGENTS, "extra": {NODE_NAME: nodes}}}
        assert facts_of(status).kube_node == ""
