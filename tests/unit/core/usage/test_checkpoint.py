"""A row as bytes and back: what survives, what is refused, what is merged with samples that came since."""

import struct
import zlib

import numpy as np
import pytest

from plimsoll.usage.checkpoint import MAX_CHECKPOINT_BYTES, CheckpointError, decode
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, MAX_PLAUSIBLE_BYTES, Quantity

NOW = 1_700_000_123.0
DAY = 86_400.0
MIB = float(2**20)


def history(quantity: Quantity = Quantity.USAGE) -> History:
    made = History(quantity, capacity=4)
    made.add_rows(2)
    return made


def full(seed: int = 0) -> History:
    h = history()
    seconds = NOW - np.arange(0, 28 * DAY - 3600, BIN_SECONDS)
    values = np.random.default_rng(seed).uniform(0, 2**40, len(seconds))
    h.append(np.zeros(len(seconds), np.int32), seconds, values, NOW)
    h.record_oom([0] * 9, NOW - np.arange(8, -1, -1) * 1000.0, 5 * MIB, 6 * MIB)
    h.record_restart(0, NOW - 50)
    return h


def restored(data: bytes, now: float | None = NOW) -> History:
    h = history()
    if now is not None:
        h.advance(now)
    h.restore(0, data)
    return h


def same_events(one, other) -> bool:
    pairs = ((one.seconds, other.seconds), (one.limit_bytes, other.limit_bytes), (one.count, other.count))
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_row_fits_into_8_kib(seed):
    """Uniform noise: nothing to compress."""
    assert len(full(seed).checkpoint(0)) <= MAX_CHECKPOINT_BYTES / 2


def test_round_trip_keeps_everything_and_raises_values_by_a_thousandth_at_most():
    h = full()
    back = restored(h.checkpoint(0))
    for window in ("five_minute", "hourly"):
        before, after = (getattr(x, window)(0) for x in (h, back))
        np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
        assert (after >= before)[~np.isnan(before)].all()
        np.testing.assert_allclose(after, np.maximum(before, 1024), rtol=1.001e-3)
    assert same_events(h.ooms(0), back.ooms(0))
    assert same_events(h.restarts(0), back.restarts(0))
    assert back.first_seen_seconds(0) == h.first_seen_seconds(0)
    assert back.last_seen_seconds(0) == h.last_seen_seconds(0)


def test_restoring_again_and_again_changes_nothing():
    once = restored(full().checkpoint(0))
    data = once.checkpoint(0)
    twice = restored(data)
    twice.restore(0, data)
    assert twice.checkpoint(0) == data
    assert twice.ooms(0).count.tolist() == [9]


def test_other_rows_are_untouched():
    back = restored(full().checkpoint(0))
    assert np.isnan(back.hourly(1)).all()
    assert back.ooms(1).count.tolist() == [0]


def test_samples_that_came_since_are_merged_by_maximum():
    h = history()
    h.append([0, 0], [NOW - 600, NOW], [8 * MIB, MIB], NOW)
    data = h.checkpoint(0)
    back = history()
    later = NOW + 300
    back.append([0, 0, 0], [NOW - 600, NOW, later], [MIB, 9 * MIB, 2 * MIB], later)
    back.restore(0, data)
    window = back.five_minute(0, 4)[0]
    assert window[0] == pytest.approx(8 * MIB, rel=1e-3)
    assert window[0] >= 8 * MIB
    assert np.isnan(window[1])
    assert window[2:].tolist() == [9 * MIB, 2 * MIB]
    assert back.first_seen_seconds(0)[0] == NOW - 600
    assert back.last_seen_seconds(0)[0] == later


def test_ooms_that_came_since_are_joined():
    h = history()
    h.append(0, NOW, MIB, NOW)
    h.record_oom([0] * 9, NOW - np.arange(8, -1, -1) * 100.0, MIB)
    data = h.checkpoint(0)
    back = history()
    back.advance(NOW + 600)
    back.record_oom([0, 0], [NOW, NOW + 400], [MIB, 2 * MIB])
    back.restore(0, data)
    ooms = back.ooms(0)
    assert ooms.count.tolist() == [10]
    assert ooms.seconds[0, -1] == NOW + 400
    assert ooms.seconds[0, -2] == NOW


def test_what_is_older_than_the_window_is_not_restored():
    back = restored(full().checkpoint(0), NOW + 2 * DAY)
    assert np.isnan(back.five_minute(0)).all()
    assert np.count_nonzero(~np.isnan(back.hourly(0))) == 26 * 24
    back = restored(full().checkpoint(0), NOW + 40 * DAY)
    assert np.isnan(back.hourly(0)).all()
    assert back.ooms(0).count.tolist() == [9]


def test_before_the_first_reading_of_a_clock_the_checkpoints_time_is_taken():
    h = full()
    back = restored(h.checkpoint(0), now=None)
    assert back.current_bin == h.current_bin
    back.advance(NOW + 20 * DAY)  # weeks after the checkpoint: a long outage, not a wrong clock
    assert np.count_nonzero(~np.isnan(back.hourly(0))) == 8 * 24


def test_rows_restored_before_a_clock_may_have_different_ages():
    old, new = history(), history()
    old.append(0, NOW - DAY / 2, MIB, NOW - DAY / 2)
    new.append(0, NOW, 2 * MIB, NOW)
    back = history()
    for row, source in ((0, old), (1, new)):
        back.restore(row, source.checkpoint(0))
    assert back.current_bin == new.current_bin
    assert back.five_minute(1, 1)[0, 0] >= 2 * MIB
    window = back.five_minute(0)[0]
    assert np.flatnonzero(~np.isnan(window)).tolist() == [288 - 1 - 144]


def test_peaks_of_a_checkpoint_from_the_future_count_as_now():
    """Its clock was ahead of ours: nothing may be lost."""
    h = history()
    h.append(0, NOW + 3 * DAY, 7 * MIB, NOW + 3 * DAY)
    back = restored(h.checkpoint(0), NOW)
    assert back.current_bin == NOW // BIN_SECONDS
    assert back.five_minute(0, 1)[0, 0] >= 7 * MIB
    assert back.hourly(0, 1)[0, 0] >= 7 * MIB


@pytest.mark.parametrize("value", [0.0, 1.0, 1023.0, 1024.0, 2.0**20 + 1, MAX_PLAUSIBLE_BYTES])
def test_extreme_values_survive(value):
    h = history()
    h.append(0, NOW, value, NOW)
    back = restored(h.checkpoint(0)).five_minute(0, 1)[0, 0]
    assert value <= back <= max(value * 1.0011, 1024 if value else 0)


def test_empty_row_survives():
    h = history()
    h.advance(NOW)
    back = restored(h.checkpoint(0))
    assert np.isnan(back.hourly(0)).all()
    assert np.isnan(back.first_seen_seconds(0)).all()


def resealed(body: bytes, version: int = 1, quantity: int = 0) -> bytes:
    """A checkpoint with a right checksum around any body."""
    crc = zlib.crc32(body, zlib.crc32(struct.pack("<HB", version, quantity)))
    return struct.pack("<4sHBxI", b"PLMH", version, quantity, crc) + body


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a Plimsoll"),
        (b"PLMH", "not a Plimsoll"),
        (b"\x1f\x8b" + bytes(200), "not a Plimsoll"),
        (resealed(b"", version=5), "version 5 is newer than 4"),
        (resealed(zlib.compress(b""), quantity=1), "holds working_set, this history holds usage"),
        (resealed(zlib.compress(b""), quantity=7), "unknown quantity"),
        (resealed(b"nonsense"), "corrupt"),
        (resealed(zlib.compress(b"short")), "too few"),
        (resealed(zlib.compress(bytes(10**7))), "does not end"),
        (
            resealed(zlib.compress(struct.pack("<qHHqqdd", 1, 288, 672, 0, 0, 0, 0) + bytes(384))),
            "288 bins and 672",
        ),
        (
            resealed(zlib.compress(struct.pack("<qHHqqdd", 1, 1, 0, 0, 0, 0, 0) + bytes(384) + b"\xff\xff")),
            "grid",
        ),
    ],
)
def test_foreign_and_broken_bytes_are_refused_with_a_sentence_and_change_nothing(data, message):
    h = history()
    h.append(0, NOW, MIB, NOW)
    before = h.checkpoint(0)
    with pytest.raises(CheckpointError, match=message):
        h.restore(0, data)
    assert h.checkpoint(0) == before


def test_every_flipped_byte_and_every_truncation_is_noticed():
    data = full().checkpoint(0)
    h = history()
    for at in range(0, len(data), 7):
        if at == 7:
            continue  # the pad byte of the header carries nothing
        with pytest.raises(CheckpointError):
            h.restore(0, data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(CheckpointError):
            h.restore(0, data[:at])


def test_nonsense_times_inside_a_sealed_checkpoint_do_not_break_the_history():
    for current_bin in (2**62, -(2**62), -1):
        body = struct.pack("<qHHqqdd", current_bin, 1, 1, 0, 0, 0.0, 0.0) + bytes(384) + bytes([5, 5, 0, 0])
        h = history()
        h.append(0, NOW, MIB, NOW)
        with pytest.raises(CheckpointError, match="bin"):
            h.restore(0, resealed(zlib.compress(body)))
        assert h.five_minute(0, 1)[0, 0] == MIB


def test_a_checkpoint_of_the_version_before_promises_is_read() -> None:
    fixed = struct.pack("<qHHqqdd", 1, 1, 0, 0, 0, 5.0, 6.0)
    state = decode(resealed(zlib.compress(fixed + bytes(384) + b"\x00\x00"), version=1), Quantity.USAGE)
    assert state.promises.tolist() == [0, 0, 0, 0]
    assert (state.first_seen_seconds, state.last_seen_seconds) == (5.0, 6.0)


LEARNED = {"ensemble": {"auto": 0.25, "windowed": 1.5}}


def test_what_models_have_learned_comes_back_with_the_row() -> None:
    h = full()
    data = h.checkpoint(0, LEARNED)
    assert history().restore(0, data) == LEARNED
    back = restored(data)
    np.testing.assert_array_equal(back.hourly(0), restored(h.checkpoint(0)).hourly(0))


def test_where_nothing_was_learned_an_older_program_reads_it() -> None:
    assert struct.unpack_from("<H", full().checkpoint(0), 4) == (3,)
    assert struct.unpack_from("<H", full().checkpoint(0, LEARNED), 4) == (4,)
    assert history().restore(0, full().checkpoint(0)) == {}


def test_the_worst_row_fits_with_all_that_may_be_learned_and_more_is_left_out() -> None:
    many = {"ensemble": {f"member {number}": 1 / 3 for number in range(28)}}
    data = full().checkpoint(0, many)
    assert history().restore(0, data) == many
    assert len(data) <= MAX_CHECKPOINT_BYTES
    assert history().restore(0, full().checkpoint(0, {"x": {"y" * 2000: 1.0}})) == {}


@pytest.mark.parametrize(
    "text",
    [b"[]", b"7", b"{", b'{"a": 1}', b'{"a": {"b": "c"}}', b'{"a": {"b": NaN}}', b"\xff", b"[" * 60_000],
)
def test_foreign_learning_is_refused_and_changes_nothing(text: bytes) -> None:
    fixed = struct.pack("<qHHqqdd", 1, 1, 0, 0, 0, 5.0, 6.0) + bytes(384) + bytes(32) + bytes(16)
    data = resealed(zlib.compress(fixed + struct.pack("<H", len(text)) + text + b"\x00\x00"), version=4)
    h = history()
    before = h.checkpoint(0)
    with pytest.raises(CheckpointError, match="model"):
        h.restore(0, data)
    assert h.checkpoint(0) == before
