"""Doubly linked lists over pages, as arrays: what replacement policies are made of.

`links` is int32[2, pages + lists]: row 0 the node towards the front, row 1 towards the back. List k is a ring
through its own node `pages + k`, so that no end is special.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.compiled import compiled

AHEAD, BEHIND = 0, 1
# What a policy's `access` returns where no page had to go; a page otherwise.
HIT, LOADED = -2, -1

Links = npt.NDArray[np.int32]


def empty_links(pages: int, lists: int) -> Links:
    """Lists without members."""
    links = np.zeros((2, pages + lists), np.int32)
    links[:, pages:] = np.arange(pages, pages + lists)
    return links


@compiled
def push_front(links: Links, ring: int, node: int) -> None:
    """Put a node at the front of the list whose own node is `ring`."""
    first = links[BEHIND, ring]
    links[AHEAD, node], links[BEHIND, node] = ring, first
    links[BEHIND, ring], links[AHEAD, first] = node, node


@compiled
def remove(links: Links, node: int) -> None:
    """Take a node out of its list."""
    ahead, behind = links[AHEAD, node], links[BEHIND, node]
    links[BEHIND, ahead], links[AHEAD, behind] = behind, ahead


@compiled
def to_front(links: Links, ring: int, node: int) -> None:
    """Move a member to the front."""
    remove(links, node)
    push_front(links, ring, node)


@compiled
def pop_back(links: Links, ring: int) -> int:
    """Take the last node out of a list that has one."""
    last = links[AHEAD, ring]
    remove(links, last)
    return int(last)
