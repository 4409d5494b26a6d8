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


def test_a_batch_job_yields_before_a_service_of_the_same_importance():
    service, job = Claim(80 * MIB, Importance.NORMAL), Claim(80 * MIB, Importance.NORMAL, batch=True)
    assert share_out([service, job], ROOM) == [20 * MIB, 80 * MIB]


def test_importance_comes_before_being_a_batch_job():
    service, job = Claim(80 * MIB, Importance.LOW), Claim(80 * MIB, Importance.HIGH, batch=True)
    assert share_out([service, job], ROOM) == [80 * MIB, 20 * MIB]


def test_it_is_taken_where_least_is_expected_back():
    claims = [Claim(60 * MIB, Importance.NORMAL, return_ratio=each) for each in (0.5, 0.1, 0.3)]
    assert share_out(claims, ROOM) == [0, 60 * MIB, 40 * MIB]


def test_what_costs_about_the_same_is_shared():
    claims = [Claim(100 * MIB, Importance.NORMAL, return_ratio=each) for each in (0.10, 0.11, 0.40)]
    assert share_out(claims, ROOM) == [50 * MIB, 50 * MIB, 0]


def test_swap_goes_to_where_it_costs_least_too():
    room = NodeRoom(swap_total_bytes=1000 * MIB, swap_free_bytes=120 * MIB)  # 20 may be used
    claims = [
        Claim(20 * MIB, Importance.NORMAL, return_ratio=0.4),
        Claim(20 * MIB, Importance.NORMAL, file_bytes=5 * MIB, return_ratio=0.1),
    ]
    assert share_out(claims, room) == [5 * MIB, 20 * MIB]
