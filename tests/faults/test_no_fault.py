"""The load by itself: what the faults are measured against."""

from support.trial import Trial


async def test_load_without_fault_comes_out_as_its_arithmetic_says(trial: Trial) -> None:
    await trial.hold(trial.plan(events=400), events_per_second=200)
