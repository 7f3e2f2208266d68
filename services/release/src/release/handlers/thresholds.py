"""Threshold alerts that changed bookings lead to (domain.md section 3); those of a release go with the release."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from release.domain.cap_state import ProjectCap
from release.domain.threshold import threshold_crossing
from release.release_facts import crossing_body
from release.store.caps import load_caps, lock_caps
from shared.database.unit_of_work import Cause, UnitOfWork


async def caps_before_change(work: UnitOfWork, project_ids: Iterable[str]) -> dict[str, ProjectCap]:
    """The caps of projects that are about to change, as they are; locks those that are known."""
    return await lock_caps(work.connection, project_ids)


async def publish_crossings(
    work: UnitOfWork, before: Mapping[str, ProjectCap], changed: Mapping[str, Cause]
) -> None:
    """Tell of the thresholds that changed bookings have crossed.

    `before` is what `caps_before_change` gave, `changed` the projects that did change, each with its cause. A changed
    threshold by itself crosses nothing: both states are seen with the later one.
    """
    watched = changed.keys() & before.keys()
    if not watched:
        return
    for project_id, after in sorted((await load_caps(work.connection, watched)).items()):
        earlier = replace(before[project_id], alert_threshold=after.alert_threshold)
        crossing = threshold_crossing(earlier, after)
        if crossing is not None:
            cause = changed[project_id]
            work.publish("release.cap.threshold-crossed.v1", project_id, crossing_body(crossing, None), cause)
