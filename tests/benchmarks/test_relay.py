"""The benchmark of the relay runs, and gives a figure beside its limit."""

import asyncpg

from sluice.benchmarks.relay import measure_relay
from sluice.benchmarks.servers import Servers
from sluice.broker_options import broker_options
from sluice.infrastructure.choose import Broker, DatabaseServer
from sluice.topics import make_topics, read_topics


async def test_relay_is_measured_beside_a_bare_producer(
    kafka_server: Broker, postgres_server: DatabaseServer
) -> None:
    await make_topics(broker_options(kafka_server.bootstrap_servers), read_topics())
    servers = Servers(
        kafka_server.bootstrap_servers,
        is_idempotent=kafka_server.is_idempotent,
        administrator_url=postgres_server.administrator_url,
    )
    result = await measure_relay(servers, 1_200)
    (measured,) = result.measured
    assert measured.figure.value > 0
    assert measured.figure.ratio is not None
    assert measured.figure.ratio > 0
    assert "1,200 messages" in result.how
    administrator = await asyncpg.connect(postgres_server.administrator_url)
    try:
        left = await administrator.fetchval("select count(*) from pg_database where datname like 'bench%'")
    finally:
        await administrator.close()
    assert left == 0, "a benchmark leaves no database behind"
