"""Results of benchmarks for the screen and for docs/benchmarks.md."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sluice.benchmarks.figures import LOWER, Figure, Goal, Result

_HEAD: Final = """\
# Benchmarks

Written by `{command}`. A figure stands beside a limit that was measured in the same run, on the same machine;
their ratio says more than either, for both depend on the machine and on what else it does. No test fails for a figure.
"""


def markdown(results: Sequence[Result], machine: Mapping[str, str], command: str) -> str:
    """The whole document."""
    lines = [_HEAD.format(command=command)]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine.items()), ""]
    lines += ["| # | what | measured | limit | ratio | goal | |", "|---|---|---|---|---|---|---|"]
    lines += [_row(row) for result in results for row in rows(result)]
    for result in results:
        lines += ["", *_section(result)]
    return "\n".join(lines) + "\n"


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """A result's figures as rows of a table."""
    for measured in result.measured:
        figure = measured.figure
        yield {
            "number": result.code,
            "what": figure.what,
            "measured": f"{_number(figure.value)} {figure.unit}",
            "limit": "" if figure.limit is None else f"{_number(figure.limit)} {figure.unit}",
            "ratio": "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "goal": "; ".join(_goal(goal, figure) for goal in measured.goals),
            "reached": "; ".join("yes" if goal.is_met(figure) else "no" for goal in measured.goals),
        }


def as_json(results: Sequence[Result], machine: Mapping[str, str]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "machine": dict(machine),
        "results": [
            {
                "number": result.code,
                "elapsed_seconds": result.elapsed_seconds,
                "seconds_by_process": dict(result.seconds_by_process),
                "figures": [
                    {
                        "what": each.figure.what,
                        "value": each.figure.value,
                        "unit": each.figure.unit,
                        "limit": each.figure.limit,
                        "ratio": each.figure.ratio,
                        "reached": all(goal.is_met(each.figure) for goal in each.goals),
                    }
                    for each in result.measured
                ],
            }
            for result in results
        ],
    }


def _row(row: Mapping[str, Any]) -> str:
    return f"| {' | '.join(str(value) for value in row.values())} |"


def _section(result: Result) -> Iterator[str]:
    yield f"## {result.code}: {result.title}"
    yield ""
    yield result.how
    limits = [each.figure for each in result.measured if each.figure.limit_what]
    for figure in limits:
        yield ""
        yield f"The limit: {figure.limit_what}."
    for name, text in result.details.items():
        yield ""
        yield f"{name[0].upper()}{name[1:]}: {text}."
    yield ""
    yield from _where_time_went(result)


def _where_time_went(result: Result) -> Iterator[str]:
    used = sorted(result.seconds_by_process.items(), key=lambda each: -each[1])
    total = sum(result.seconds_by_process.values())
    if not total:
        return
    yield f"Where the time went ({result.elapsed_seconds:.1f} s by the clock, {total:.1f} s of processors):"
    yield ""
    yield "| process | processor seconds | share |"
    yield "|---|---|---|"
    for name, seconds in used:
        yield f"| {name} | {seconds:.1f} | {seconds / total:.0%} |"


def _goal(goal: Goal, figure: Figure) -> str:
    sign = "≤" if goal.sense == LOWER else "≥"
    return (
        f"{sign} {goal.bound:g} of the limit"
        if goal.is_ratio
        else f"{sign} {_number(goal.bound)} {figure.unit}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
