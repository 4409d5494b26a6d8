import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.sample.formats import (
    FormatError,
    MemoryInfo,
    parse_bytes,
    parse_flat_keyed,
    parse_limit,
    parse_meminfo,
    parse_memory_stat,
    parse_pressure,
    parse_some_total,
)

PARSERS = (parse_bytes, parse_limit, parse_flat_keyed, parse_meminfo, parse_memory_stat, parse_pressure)
PSI = """some avg10=12.34 avg60=100.00 avg300=0.00 total=1500000
full avg10=0.01 avg60=0.00 avg300=0.00 total=20
"""
STAT = (
    "anon 10\nfile 20\ninactive_file 5\nslab 3\nworkingset_refault_anon 7\nworkingset_refault_file 8\nnew 1\n"
)
MEMINFO = """MemTotal: 8 kB
MemFree: 4 kB
MemAvailable: 6 kB
HugePages_Total: 0
SwapTotal: 2 kB
SwapFree: 0 kB
"""


def test_numbers():
    assert parse_bytes("0\n") == 0
    assert parse_bytes("18446744073709551615\n") == 2**64 - 1
    assert parse_limit("1073741824\n") == 2**30
    assert parse_limit("max\n") == math.inf


def test_seconds_of_pressure_are_the_floats_nearest_to_the_kernels_microseconds():
    # 219394 * 1e-6 is the float below: a counter that a reader of the file finds to have gone back.
    assert 219394 * 1e-6 < 219394 / 1e6
    psi = PSI.replace("total=1500000", "total=219394")
    assert psi != PSI
    assert parse_pressure(psi).some.total_seconds == 219394 / 1e6
    assert parse_some_total(psi) == 219394 / 1e6


@pytest.mark.parametrize(
    "text", ["", "\n", "-1\n", "+5\n", " 5\n", "5_0\n", "1e9\n", "nan\n", "٣\n", "12 34\n", "1\n2\n"]
)
@pytest.mark.parametrize("parse", [parse_bytes, parse_limit])
def test_what_is_not_one_number_is_an_error(parse, text):
    with pytest.raises(FormatError, match="not a number"):
        parse(text)


def test_max_is_no_number_of_bytes():
    with pytest.raises(FormatError):
        parse_bytes("max\n")


def test_flat_keyed_files():
    assert parse_flat_keyed("low 0\noom_kill 3\n") == {"low": 0, "oom_kill": 3}
    with pytest.raises(FormatError):
        parse_flat_keyed("low 0\noom_kill\n")


def test_memory_stat_of_today():
    stat = parse_memory_stat(STAT)
    assert (stat.anon_bytes, stat.file_bytes, stat.inactive_file_bytes, stat.slab_bytes) == (10, 20, 5, 3)
    assert (stat.refault_anon_pages, stat.refault_file_pages) == (7, 8)


def test_memory_stat_before_refaults_were_split():
    stat = parse_memory_stat("anon 10\nworkingset_refault 8\n")
    assert (stat.refault_anon_pages, stat.refault_file_pages, stat.slab_bytes) == (None, 8, None)


def test_pressure_is_shares_and_seconds():
    pressure = parse_pressure(PSI)
    assert pressure.some.avg10_ratio == pytest.approx(0.1234)
    assert pressure.some.avg60_ratio == 1.0
    assert pressure.some.total_seconds == pytest.approx(1.5)
    assert pressure.full.total_seconds == pytest.approx(20e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("full", "half"),
        ("avg10=12.34", "avg10=nan"),
        ("avg10=12.34", "avg10=-1"),
        ("avg10=12.34", "avg10=101"),
        ("avg10=12.34", "avg10=x"),
        ("avg60=100.00 ", ""),
        ("total=1500000", "total=-5"),
        ("total=1500000", "total=1.5"),
    ],
)
def test_pressure_that_makes_no_sense_is_an_error(old, new):
    with pytest.raises(FormatError):
        parse_pressure(PSI.replace(old, new))


def test_meminfo_is_in_bytes():
    text = MEMINFO
    assert parse_meminfo(text) == MemoryInfo(8192, 4096, 6144, 2048, 0)
    for wrong in (
        text.replace("MemFree", "Mem"),
        text.replace("4 kB", "4 MB"),
        text.replace("4 kB", "-4 kB"),
    ):
        with pytest.raises(FormatError):
            parse_meminfo(wrong)


@given(st.text(max_size=200))
@pytest.mark.parametrize("parse", PARSERS)
def test_garbage_is_a_format_error_and_nothing_else(parse, text):
    try:
        parse(text)
    except FormatError:
        return


def test_this_machine_s_own_meminfo_is_understood():
    found = parse_meminfo(KernelFs().read("/proc/meminfo"))
    assert 0 < found.free_bytes <= found.total_bytes
    assert found.swap_free_bytes <= found.swap_total_bytes
