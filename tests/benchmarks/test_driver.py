"""The driver of a benchmark sees its own events alone."""

from sluice.benchmarks.driver import INVOICED, Driver
from sluice.benchmarks.sample import Prepared, Sample, prepare
from sluice.broker_options import broker_options
from sluice.infrastructure.choose import Broker
from sluice.topics import make_topics, read_topics


def _invoiced(event_id: str) -> Prepared:
    return prepare(
        "release.events",
        "one-partition",
        {"billing_event_id": event_id},
        subject=event_id,
        message_type=INVOICED,
        message_id=f"{event_id}:invoiced",
    )


async def test_facts_about_what_another_driver_left_under_way_are_not_counted(kafka_server: Broker) -> None:
    options = broker_options(kafka_server.bootstrap_servers)
    await make_topics(options, read_topics())
    own, other = Sample("OWN"), Sample("OTHER")
    async with Driver(options, own) as driver:
        await driver.send(map(_invoiced, (other.event_id(0), own.event_id(1), own.event_id(0))))
        await driver.until(INVOICED, 2)
        assert driver.seen.at[INVOICED].keys() == {own.event_id(1), own.event_id(0)}
