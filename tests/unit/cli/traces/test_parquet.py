"""Reading traces: columns that may be absent, and errors that name file and column."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plimsoll_cli.failure import CommandError
from plimsoll_cli.traces.parquet import read_trace, read_traces, source_warmup_bins, trace_files
from plimsoll_cli.traces.sample import sample_directory, sample_facts

GOOD = {"series_id": ["a", "a", "b"], "timestamp": [0, 300, 0], "memory_bytes": [1.0, 2.0, 3.0]}


@pytest.fixture
def write(tmp_path):
    def write(name="t.parquet", **columns):
        path = tmp_path / name
        pq.write_table(pa.table({**GOOD, **columns}), path)
        return path

    return write


def test_reads_a_file_without_the_optional_columns(write):
    batch = read_trace(write())
    assert batch.source == "t"
    assert batch.series_ids == ("a", "b")
    np.testing.assert_array_equal(batch.usage_bytes, [[1.0, 2.0], [3.0, np.nan]])


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_takes_the_recorded_maximum_where_it_is_neither_null_nor_nan(write, missing):
    batch = read_trace(write(memory_max_bytes=[9.0, missing, missing]))
    np.testing.assert_array_equal(batch.usage_bytes, [[9.0, 2.0], [3.0, np.nan]])


def test_a_column_of_nulls_is_as_none(write):
    batch = read_trace(write(memory_max_bytes=pa.nulls(3)))
    np.testing.assert_array_equal(batch.usage_bytes, [[1.0, 2.0], [3.0, np.nan]])


@pytest.mark.parametrize(
    "series_id",
    [pa.array(["a", "a", "b"], pa.large_string()), pa.array(["a", "a", "b"]).dictionary_encode()],
    ids=["large", "dictionary"],
)
def test_any_kind_of_string_will_do(write, series_id):
    assert read_trace(write(series_id=series_id)).series_ids == ("a", "b")


def test_float32_is_widened_not_rounded_again(write):
    value = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    assert read_trace(write(memory_bytes=value)).usage_bytes[0, 0] == np.float64(value[0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"series_id": [1, 2, 3]}, "column 'series_id' holds int64, not strings"),
        ({"series_id": ["a", None, "b"]}, "column 'series_id' has 1 empty values"),
        ({"timestamp": [0.5, 1.0, 2.0]}, "column 'timestamp' holds double, not whole seconds"),
        ({"timestamp": [0, None, 2]}, "column 'timestamp' has 1 empty values"),
        ({"timestamp": [1_790_000_000_000, 1_790_000_300_000, 1_790_000_000_000]}, "are these milliseconds"),
        ({"timestamp": [0, 1_209_600_000, 0]}, "are these milliseconds"),
        ({"timestamp": np.array([0, 300, 2**64 - 1], np.uint64)}, "goes from 0 to 18446744073709551615"),
        ({"memory_bytes": ["x", "y", "z"]}, "column 'memory_bytes' holds string, not numbers"),
        ({"memory_max_bytes": ["x", "y", "z"]}, "column 'memory_max_bytes' holds string, not numbers"),
    ],
)
def test_an_unfit_column_is_named_with_its_file(write, columns, message):
    path = write(**columns)
    with pytest.raises(CommandError, match=message) as told:
        read_trace(path)
    assert str(told.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["timestamp", "memory_bytes"])
def test_a_column_that_is_there_twice_is_told(tmp_path, name):
    twice = pa.table([*GOOD.values(), GOOD[name]], names=[*GOOD, name])
    pq.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(CommandError, match=rf"t.parquet: column '{name}' is there 2 times$"):
        read_trace(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([180.0, 200.0, 210.0], "the largest value of memory is 210 bytes: was it written in another unit?"),
        (
            [1.0, 204800.0, 210000.0],
            "the largest value of memory is 210000 bytes: was it written in another unit?",
        ),
        (
            [1e300, 1e9, 2.0**47],
            "2 of 3 values are above 64Ti, which no container has: no forecast has them",
        ),
        ([-1.0, -2.0, float("nan")], "3 of 3 values are negative or not finite"),
        ([-1.0, float("inf"), 1e9], "2 of 3 values are negative or infinite, and count as missing"),
    ],
)
def test_odd_values_are_noted(write, capsys, values, note):
    path = write(memory_bytes=values)
    read_trace(path)
    assert capsys.readouterr() == ("", f"Note: {path}: {note}\n")


def test_maxima_below_the_values_are_noted(write, capsys):
    path = write(memory_bytes=[2e9, 2e9, 2e9], memory_max_bytes=[1e9, float("nan"), 3e9])
    read_trace(path)
    said = (
        "in 1 of 3 samples memory_max_bytes is below memory_bytes, which cannot be; memory_max_bytes counts"
    )
    assert capsys.readouterr().err == f"Note: {path}: {said}\n"


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [2.0**20, float("nan"), 2.0**46], [1e9, 2e9, 3e9]])
def test_plain_values_are_read_without_a_word(write, capsys, values):
    read_trace(write(memory_bytes=values))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["series_id", "timestamp", "memory_bytes"])
def test_a_missing_column_is_named_with_those_there_are(tmp_path, name):
    pq.write_table(pa.table({k: v for k, v in GOOD.items() if k != name}), tmp_path / "t.parquet")
    with pytest.raises(CommandError, match=rf"t.parquet: column '{name}' is missing \(there are: "):
        read_trace(tmp_path / "t.parquet")


def test_what_is_no_parquet_file_is_told(tmp_path):
    (tmp_path / "t.parquet").write_text("series_id,timestamp\n")
    with pytest.raises(CommandError, match=r"t.parquet: not a readable Parquet file"):
        read_trace(tmp_path / "t.parquet")


def test_a_directory_stands_for_its_files_in_order_of_name(write, tmp_path):
    write("b.parquet", series_id=["c", "c", "d"])
    write("a.parquet")
    assert [batch.source for batch in read_traces([tmp_path])] == ["a", "b"]


def test_sample_is_the_shipped_one_unless_something_is_called_so(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [f.parent for f in trace_files([Path("sample")])] == [sample_directory()] * 3
    (tmp_path / "sample").mkdir()
    write("sample/mine.parquet")
    assert trace_files([Path("sample")]) == [Path("sample/mine.parquet")]


def test_no_file_and_an_empty_directory_are_told(tmp_path):
    with pytest.raises(CommandError, match=r"nowhere: no such file or directory"):
        read_traces([tmp_path / "nowhere"])
    with pytest.raises(CommandError, match=r"no \*\.parquet file"):
        read_traces([tmp_path])


def test_one_series_in_two_files_is_told(write):
    with pytest.raises(CommandError, match=r"series 'a' is in both x and y"):
        read_traces([write("x.parquet"), write("y.parquet")])


@pytest.mark.parametrize(("days", "warmup"), [(1.9, 36), (2.0, 288)])
def test_sources_of_less_than_two_days_have_the_short_warm_up(write, days, warmup):
    last = int(days * 86_400) - 300
    assert source_warmup_bins(read_trace(write(timestamp=[0, last, 0]))) == warmup


def test_the_shipped_sample_is_what_its_facts_say():
    facts = sample_facts()
    assert facts["seed"] == 7
    for source in facts["sources"]:
        batch = read_trace(sample_directory() / source["file"])
        assert sorted(batch.series_ids) == sorted(s for ids in source["series"].values() for s in ids)
        assert source["licence"] in ("CC-BY-4.0", "MIT")
    drawn = {s for source in facts["sources"] for ids in source["drawn"].values() for s in ids}
    assert len(drawn) == 48
    assert drawn < set(facts["unseen"])
    size = sum(path.stat().st_size for path in sample_directory().glob("*.parquet"))
    assert size < 2 * 2**20
