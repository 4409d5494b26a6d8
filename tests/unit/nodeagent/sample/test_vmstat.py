import pytest

from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.vmstat import parse_vmstat

BEFORE = "compact_stall 5\ncompact_success 2\npswpin 100\nworkingset_refault_anon 7\nsomething_new 1\n"
AFTER = "compact_stall 9\ncompact_success 2\npswpin 150\npgdemote_kswapd 4\n"


def test_what_happened_between_two_samples():
    change = parse_vmstat(AFTER).since(parse_vmstat(BEFORE))
    assert (change.compact_stall, change.compact_success, change.pswpin) == (4, 0, 50)
    assert change.workingset_refault_anon is None
    assert change.pgdemote_kswapd is None


def test_a_counter_that_was_reset_counts_nothing():
    assert parse_vmstat(BEFORE).since(parse_vmstat(AFTER)).pswpin == 0


def test_torn_text_is_not_guessed():
    with pytest.raises(FormatError):
        parse_vmstat("pswpin 1x\n")
