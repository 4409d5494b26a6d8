"""Quantities: the table is Kubernetes' own behaviour (`Quantity.Value()`); the property is that nothing is
lost."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.api.quantity import MAX_QUANTITY_BYTES, QuantityError, format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value_bytes"),
    [
        ("0", 0),
        ("1", 1),
        (1_048_576, 1_048_576),
        ("1k", 1000),
        ("1Ki", 1024),
        ("512M", 512_000_000),
        ("512Mi", 536_870_912),
        ("1.5Gi", 1_610_612_736),
        (".5Ki", 512),
        ("1.Ki", 1024),
        ("1e3", 1000),
        ("1E3", 1000),
        ("12e-1", 2),  # 1.2 bytes, rounded up
        ("1E", 10**18),  # exa, not an exponent
        ("7Ei", 7 * 2**60),
        ("128974848000m", 128_974_848),
        ("1m", 1),
        ("1n", 1),
        ("100u", 1),
        ("+5k", 5000),
        ("-0", 0),
        ("0.0001Ki", 1),
    ],
)
def test_parses_as_kubernetes_does(text: str | int, value_bytes: int):
    assert parse_quantity(text) == value_bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "lots",
        "1 Gi",
        "1gi",
        "1GB",
        "Gi",
        "1..5",
        "0x10",
        "1e",
        "nan",
        "inf",
        "1Gi\n",
        "\u0661Gi",
        True,
    ],
)
def test_refuses_nonsense_and_quotes_it(text: str):
    with pytest.raises(QuantityError, match="is not a memory quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "why"), [("-1Gi", "negative"), (-1, "negative"), ("8Ei", "more than"), ("1e99", "more than")]
)
def test_refuses_what_cannot_be_bytes(text: str | int, why: str):
    with pytest.raises(QuantityError, match=why):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("value_bytes", "text"),
    [
        (0, "0"),
        (1, "1"),
        (1000, "1000"),
        (1024, "1Ki"),
        (1536 * 2**20, "1536Mi"),
        (2**40, "1Ti"),
        (2**20 + 1, "1048577"),
    ],
)
def test_formats_with_the_largest_suffix_that_divides(value_bytes: int, text: str):
    assert format_quantity(value_bytes) == text


@pytest.mark.parametrize("value_bytes", [-1, MAX_QUANTITY_BYTES + 1])
def test_never_writes_what_it_could_not_read(value_bytes: int):
    with pytest.raises(QuantityError, match="cannot be a memory quantity"):
        format_quantity(value_bytes)


@given(st.integers(0, MAX_QUANTITY_BYTES))
def test_every_number_of_bytes_survives_the_way_there_and_back(value_bytes: int):
    assert parse_quantity(format_quantity(value_bytes)) == value_bytes


@given(st.text(max_size=12))
def test_any_text_is_a_number_of_bytes_or_a_quantity_error(text: str):
    with suppress(QuantityError):
        assert 0 <= parse_quantity(text) <= MAX_QUANTITY_BYTES
