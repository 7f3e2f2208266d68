"""What is taken can be completed and released, however large (contract.md section 1)."""

from dataclasses import replace

import pytest

from integration.release.driver import business_record, company, generated, item, project
from integration.release.releasing import SETTINGS, ReleasingDriver, release
from shared.database.database import Database

LONGEST_NAME = "\N{RECEIPT}" * 500
TAKEN_ITEMS = 3_200
"""Nearly as many as fit without a product."""


@pytest.fixture
def driver(store: Database) -> ReleasingDriver:
    return ReleasingDriver(store, replace(SETTINGS, release_batch_size=20_000))


async def test_the_largest_event_that_is_taken_completes_and_is_released(driver: ReleasingDriver) -> None:
    """All of them come before their project; the one of today's largest size could never be completed."""
    sizes = {"BE-1": TAKEN_ITEMS, "BE-2": TAKEN_ITEMS + 200, "BE-3": 19_763}
    for billing_event_id, size in sizes.items():
        await driver.psa(generated(billing_event_id, *(item(f"i{number}", "1.00") for number in range(size))))
    reasons = await driver.dead_letters()
    assert len(reasons) == 2
    assert all(reason.startswith("too_large: ") for reason in reasons)
    await driver.know(
        project(services_product=LONGEST_NAME, engagement=LONGEST_NAME), company(), business_record()
    )
    assert await driver.stage("BE-1") == "awaiting_release"
    await driver.command(release())
    assert await driver.stage("BE-1") == "released"
