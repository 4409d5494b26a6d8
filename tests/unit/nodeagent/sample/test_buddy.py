import pytest

from plimsoll_nodeagent.sample.buddy import (
    Zone,
    free_blocks_from_order,
    parse_buddyinfo,
    unusable_ratio,
)
from plimsoll_nodeagent.sample.formats import FormatError

LINE = "Node 1, zone   Normal      4      2      0      1\n"


def test_a_line_is_a_zone_of_a_numa_node():
    (zone,) = parse_buddyinfo(LINE)
    assert (zone.numa_node, zone.name, zone.free_pages) == (1, "Normal", 4 + 4 + 8)


def test_larger_blocks_are_split_for_smaller_orders():
    (zone,) = parse_buddyinfo(LINE)
    assert [free_blocks_from_order(zone, order) for order in range(4)] == [16, 6, 2, 1]


def test_what_is_in_smaller_blocks_is_unusable_for_a_larger_one():
    (zone,) = parse_buddyinfo(LINE)
    assert unusable_ratio(zone, 3) == 0.5
    assert unusable_ratio(zone, 0) == 0.0
    assert unusable_ratio(Zone(0, "Normal", (0, 0)), 0) == 1.0


@pytest.mark.parametrize("text", ["Node 0\n", "Node x, zone Normal 1\n", "Node 0, zone Normal 1 -2\n", "\n"])
def test_what_is_not_of_the_format_is_not_guessed(text):
    with pytest.raises(FormatError):
        parse_buddyinfo(text)
