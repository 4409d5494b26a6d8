"""Promises beside what came: by class, by price and by band, with the end of the scale marked."""

import json

import pytest

from builders.benchmark_page import benchmark_tables, row


@pytest.fixture(scope="module")
def tables():
    return benchmark_tables()


def test_classes_and_calibration_are_by_class(tables):
    def point(kind, who, oom):
        return {
            "class": kind,
            "recommender": who,
            "setting": "default",
            "n": 4,
            "oom": [oom, 0, 9],
            "slack": [0.2, 0, 1],
        }

    document = json.loads(
        json.dumps(
            {
                "frontier": [
                    point(k, w, o) for k in ("all", "flat") for w, o in (("plimsoll", 1.0), ("vpa", 2.0))
                ],
                "rows": [
                    row(f"forecast.calibration{kind}.{name}", value, value / 2, value * 2)
                    for kind in ("", ".flat")
                    for name, value in (
                        ("promised", 0.001),
                        ("realised", 0.0012),
                        ("realised_over_promised", 1.2),
                    )
                ],
            }
        )
    )
    made = tables.with_tables("<!-- table classrows -->\n<!-- end of table -->\n", document)
    assert "| flat | 4 | 1 [0, 9] @ 0.2 [0, 1] | 2 [0, 9] @ 0.2 [0, 1] |\n" in made
    made = tables.with_tables("<!-- table calibrationrows -->\n<!-- end of table -->\n", document)
    assert "| all | 3 | 0.1 % | 0.12 % [0.06 %, 0.24 %] | 1.2 [0.6, 2.4] |\n" in made
    assert "| flat | 3 |" in made


def test_promises_are_shown_price_by_price(tables):
    mark = "<!-- table calibrationprices -->\n<!-- end of table -->\n"
    rows = [
        row(f"forecast.promises.price_0_15.{name}", value, value / 2, value * 2)
        for name, value in (("promised", 40.0), ("realised", 44.0), ("realised_over_promised", 1.1))
    ]
    made = tables.with_tables(mark, {"rows": rows})
    assert "| 0.15 | 40 | 44 [22, 88] | 1.1 [0.55, 2.2] |  |\n" in made
    assert "Not measured yet" in tables.with_tables(mark, {"rows": []})  # results of before


def band(low, high, hours, promised, realised, kind="all"):
    return {"class": kind, "band": [low, high], "windows": hours, "promised": promised, "realised": realised}


def test_prices_whose_promises_are_the_end_of_the_scale_are_marked(tables):
    """10,000 hours cannot promise less than one hour with a kill: 1.3 of them are not a forecast."""
    rows = [
        row(f"forecast.promises.price_{price}.{name}", value)
        for price, promised in (("5", 1.31), ("25", 1.29))
        for name, value in (("promised", promised), ("realised", 4.0), ("realised_over_promised", 3.0))
    ]
    bands = [band(0.0, 0.0003, 9000, 1e-4, [0, 0, 0]), band(0.0003, 1.0, 1000, 1e-3, [0, 0, 0])]
    bands.append(band(0.0, 1.0, 5000, 1e-4, [0, 0, 0], "flat"))
    document = {"rows": rows, "calibration": bands}
    made = tables.with_tables("<!-- table calibrationprices -->\n<!-- end of table -->\n", document)
    assert "| 5 | 1.31 | 4 | 3 |  |\n" in made
    assert "| 25 | 1.29 | 4 | 3 | end of the scale |\n" in made


def test_bands_of_promises_stand_with_their_hours_and_none_seen_is_not_never(tables):
    mark = "<!-- table calibrationbands -->\n<!-- end of table -->\n"
    bands = [
        band(0.0, 0.0003, 6990, 0.00014, [0.0007, 0.0001, 0.002]),
        band(0.001, 0.003, 300, 0.002, [0.0, 0.0, 0.0]),  # as results of before have it
        band(0.01, 0.03, 1, 0.01, [0.0, 0.0, 0.0]),
        band(0.03, 0.1, 50, 0.05, [0.02, None, None]),
        band(0.03, 0.1, 7, 0.05, [0.02, None, None], "flat"),
    ]
    made = tables.with_tables(mark, {"rows": [], "calibration": bands})
    first = (
        "| 0 % to 0.03 % | 6,990 | 0.014 % | 0.07 % [0.01 %, 0.2 %] | 5 [0.714, 14.3] | end of the scale |\n"
    )
    assert first in made
    assert "| 0.1 % to 0.3 % | 300 | 0.2 % | 0 % [0 %, 1 %] | 0 [0, 4.99] |  |\n" in made
    assert "| 1 % to 3 % | 1 | 1 % | 0 % [0 %, 1e+02 %] | 0 [0, 100] |  |\n" in made
    assert "| 3 % to 10 % | 50 | 5 % | 2 % | 0.4 |  |\n" in made
    assert made.count("| 3 % to 10 % |") == 1, "classes have a table of their own"
    assert "Not measured yet" in tables.with_tables(mark, {"rows": []})
