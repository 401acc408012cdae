"""Means with their spread, and tables of text."""

import pytest

from bayesgan.basics.tables import aligned, markdown, mean_sd, sd


def test_the_spread_divides_by_one_less():
    assert sd([1.0, 3.0]) == pytest.approx(2**0.5) and sd([4.0]) == 0.0
    assert mean_sd([1.0, 3.0], ".2f") == "2.00 ± 1.41" and mean_sd([4.0], ".1f") == "4.0"


def test_markdown_lines_up():
    text = markdown([{"method": "MH", "JSD": "0.1"}, {"method": "a longer one", "JSD": "10.25"}])
    assert text.splitlines() == [
        "| method       |   JSD |", "|--------------|-------|", "| MH           |   0.1 |", "| a longer one | 10.25 |",
    ]
    with pytest.raises(ValueError):
        markdown([{"method": "MH", "JSD": "0.1"}, {"method": "a cell short"}])


def test_aligned_puts_the_first_left_and_the_others_right():
    assert aligned(["a", "b", "c"], [3, 2, 3]) == "a     b    c"
