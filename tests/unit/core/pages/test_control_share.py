from plimsoll.api.effective import Importance
from plimsoll.pages.control_share import Claim, NodeRoom, share_out

MIB = 1 << 20
ROOM = NodeRoom(swap_total_bytes=1000 * MIB, swap_free_bytes=1000 * MIB, most_bytes=100 * MIB)


def test_all_get_what_they_want_where_there_is_room():
    claims = [Claim(30 * MIB, Importance.NORMAL), Claim(40 * MIB, Importance.CRITICAL)]
    assert share_out(claims, ROOM) == [30 * MIB, 40 * MIB]


def test_the_least_important_go_first():
    claims = [Claim(80 * MIB, each) for each in (Importance.CRITICAL, Importance.LOW, Importance.HIGH)]
    assert share_out(claims, ROOM) == [0, 80 * MIB, 20 * MIB]


def test_equals_share_in_proportion():
    claims = [Claim(150 * MIB, Importance.NORMAL), Claim(50 * MIB, Importance.NORMAL)]
    assert share_out(claims, ROOM) == [75 * MIB, 25 * MIB]


def test_swap_that_is_left_is_shared_and_some_is_kept():
    room = NodeRoom(swap_total_bytes=1000 * MIB, swap_free_bytes=110 * MIB)
    claims = [Claim(20 * MIB, Importance.NORMAL), Claim(20 * MIB, Importance.NORMAL, file_bytes=20 * MIB)]
    assert share_out(claims, room) == [10 * MIB, 20 * MIB]


def test_a_full_swap_leaves_file_pages_only():
    room = NodeRoom(swap_total_bytes=1000 * MIB, swap_free_bytes=0)
    assert share_out([Claim(20 * MIB, Importance.LOW, file_bytes=5 * MIB)], room) == [5 * MIB]


def test_nobody_wants_anything():
    assert share_out([], ROOM) == []
    assert share_out([Claim(0, Importance.LOW)], NodeRoom()) == [0]
