"""Commands of all kinds in one batch keep the lock order, so that batches never wait for each other."""

import asyncio
import random

import pytest

from integration.release.driver import Record, project
from integration.release.releasing import ReleasingDriver, release, start_job, worth
from shared.database import database as retries
from shared.database.database import Database
from support.records import message_record

ROUNDS = 12


def hold(billing_event_id: str, *, on_hold: bool) -> Record:
    body = {"billing_event_id": billing_event_id, "on_hold": on_hold}
    return message_record("release.billing-event.hold.v1", body)


def revert(billing_event_id: str) -> Record:
    return message_record("release.billing-event.revert.v1", {"billing_event_id": billing_event_id})


async def test_batches_that_mix_kinds_never_deadlock(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a single retry: a deadlock, which PostgreSQL would end, ends the test."""
    monkeypatch.setattr(retries, "RETRIES_MAX", 1)
    driver = ReleasingDriver(store)
    ids = [f"BE-{number}" for number in range(8)]
    projects = [f"P-{number}" for number in range(4)]
    await driver.know(
        *(project(each) for each in projects),
        *(worth(each, "1.00", project_id=projects[place % 4]) for place, each in enumerate(ids)),
    )
    chance = random.Random(20261120)
    for number in range(ROUNDS):
        batches = []
        for replica in range(4):
            order = chance.sample(ids, len(ids))
            kinds: list[Record] = [
                hold(order[0], on_hold=True),
                release(order[1]),
                hold(order[2], on_hold=False),
                revert(order[3]),
                start_job(f"J-{number}-{replica}", {"billing_event_ids": order[4:6]}),
                hold(order[6], on_hold=True),
                hold(order[6], on_hold=False),
                hold(order[7], on_hold=False),
            ]
            chance.shuffle(kinds)
            batches.append(driver.replica().command(*kinds))
        await asyncio.gather(*batches)
    assert await driver.dead_letters() == []
    assert await store.pool.fetchval("select count(*) from inbox") >= ROUNDS * 4 * 8
