"""What the report says of figures."""

from sluice.benchmarks.figures import LOWER, Figure, Goal, Measured, Result
from sluice.benchmarks.report import as_json, markdown


def result(value: float, limit: float | None, *goals: Goal) -> Result:
    figure = Figure("events", value, "events/s", limit, "rows" if limit else "")
    return Result("P0", "Title", "How.", (Measured(figure, goals),), 2.0, {"release": 3.0, "driver": 1.0})


def test_figure_stands_beside_limit_ratio_and_goals() -> None:
    text = markdown(
        [result(500, 1000, Goal(0.33, is_ratio=True), Goal(1000))], {"processor": "two cores"}, "sluice bench"
    )
    assert (
        "| P0 | events | 500 events/s | 1,000 events/s | 0.50 | ≥ 0.33 of the limit; ≥ 1,000 events/s | yes; no |"
        in text
    )
    assert "| processor | two cores |" in text
    assert "`sluice bench`" in text
    assert "| release | 3.0 | 75% |" in text


def test_goal_that_is_a_most_is_reached_from_below() -> None:
    assert Goal(150, sense=LOWER).is_met(Figure("wait", 149, "ms"))
    assert not Goal(150, sense=LOWER).is_met(Figure("wait", 151, "ms"))


def test_share_of_a_limit_that_is_not_there_is_never_reached() -> None:
    assert not Goal(0.1, is_ratio=True).is_met(Figure("wait", 149, "ms"))


def test_machines_read_the_same() -> None:
    answer = as_json([result(500, 1000, Goal(1000))], {})
    (figure,) = answer["results"][0]["figures"]
    assert figure["ratio"] == 0.5
    assert figure["reached"] is False
