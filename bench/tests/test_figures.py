import pytest

from bench.figures import Series, percentile, table


@pytest.mark.parametrize(("percent", "expected"), [(50, 5.0), (95, 10.0), (100, 10.0), (1, 1.0)])
def test_percentile_is_the_nearest_rank(percent: int, expected: float) -> None:
    assert percentile([float(value) for value in range(10, 0, -1)], percent) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 95) == 7.0


def test_series_takes_the_median_over_rounds_so_that_one_bad_round_is_none() -> None:
    series = Series("unlock", [[1.0, 1.0], [900.0, 900.0], [2.0, 2.0]])

    assert series.median_of(50) == 2.0


def test_table_lines_up_its_columns() -> None:
    lines = table(["ms", "p50"], [["unlock", "7.25"], ["bare", "0.2"]]).splitlines()

    assert lines == ["| ms     |  p50 |", "| ------ | ---: |", "| unlock | 7.25 |", "| bare   |  0.2 |"]
