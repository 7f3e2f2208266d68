"""deploy/acls.yaml: who may do what, at a broker that wants TLS, a password, and a right for everything."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)

from shared.kafka_options import client_options
from shared.settings import ServiceSettings
from sluice.acls import Operation, Resource, make_acls, read_acls
from sluice.broker_options import broker_options
from sluice.folders import user_cache
from sluice.infrastructure.errors import UnavailableError
from sluice.infrastructure.ports import free_port
from sluice.services import SERVICES
from sluice.state import State
from sluice.topics import make_topics, read_topics
from support.databases import Databases
from support.secure_broker import SecureKafka
from support.waiting import wait_for

NAMES = [service.name for service in SERVICES]
TOPICS = sorted(topic.name for topic in read_topics())


def unheard(_: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def broker(servers_state: State) -> Iterator[SecureKafka]:
    """A broker with the topics, and with what deploy/acls.yaml allows."""
    folder = servers_state.data / "secure-kafka"
    made = SecureKafka(folder, servers_state.run / "secure", user_cache(), users=NAMES, say=unheard)
    (servers_state.run / "secure").mkdir(exist_ok=True)
    try:
        made.start()
    except UnavailableError as error:
        if os.environ.get("SLUICE_BROKER") == "apache-kafka":
            raise
        pytest.skip(f"no Apache Kafka here: {error}")
    administrator = broker_options(made.bootstrap_servers)
    asyncio.run(make_topics(administrator, read_topics()))
    asyncio.run(make_acls(administrator, read_acls()))
    yield made
    made.stop()


def options_of(broker: SecureKafka, user: str, **changed: str) -> dict[str, Any]:
    """How a service signs in, made of its settings."""
    values = {name.lower(): value for name, value in (broker.settings_of(user) | changed).items()}
    needed = {"database_url": "postgresql://none", "oidc_issuer": "http://none", "http_port": 0}
    return client_options(ServiceSettings.model_validate(values | needed))


async def writes(options: dict[str, Any]) -> set[str]:
    """The topics that take a message."""
    taken = set()
    async with AIOKafkaProducer(acks="all", **options) as producer:
        for topic in TOPICS:
            try:
                await producer.send_and_wait(topic, b"{}", key=b"k", partition=0)
            except TopicAuthorizationFailedError:
                continue
            taken.add(topic)
    return taken


async def reads(options: dict[str, Any]) -> set[str]:
    """The topics that give a message."""
    given = set()
    for topic in TOPICS:
        consumer = AIOKafkaConsumer(topic, auto_offset_reset="earliest", **options)
        try:
            async with asyncio.timeout(120):
                await consumer.start()
                await consumer.getone()
        except TopicAuthorizationFailedError:
            continue
        finally:
            await consumer.stop()
        given.add(topic)
    return given


@pytest.mark.parametrize("service", NAMES)
async def test_a_service_may_do_what_the_file_says_and_nothing_else(
    broker: SecureKafka, service: str
) -> None:
    administrator = {"bootstrap_servers": broker.bootstrap_servers}
    assert await writes(administrator) == set(TOPICS)
    allowed = {
        operation: {
            acl.name
            for acl in read_acls()
            if (acl.principal, acl.operation, acl.resource) == (f"User:{service}", operation, Resource.TOPIC)
        }
        for operation in Operation
    }
    options = options_of(broker, service)
    assert await writes(options) == allowed[Operation.WRITE]
    assert await reads(options) == allowed[Operation.READ]


async def test_a_service_reads_in_groups_of_its_own_only(broker: SecureKafka) -> None:
    for group, is_allowed in (("release.psa", True), ("notifier.facts", False)):
        consumer = AIOKafkaConsumer("psa.projects", group_id=group, **options_of(broker, "release"))
        try:
            await consumer.start()
            assert is_allowed
            assert consumer.assignment()
        except GroupAuthorizationFailedError:
            assert not is_allowed
        finally:
            await consumer.stop()


@pytest.mark.parametrize("changed", [{"KAFKA_SASL_PASSWORD": "wrong"}, {"KAFKA_SASL_USERNAME": "stranger"}])
async def test_a_wrong_password_opens_nothing(broker: SecureKafka, changed: dict[str, str]) -> None:
    producer = AIOKafkaProducer(**options_of(broker, "release", **changed))
    with pytest.raises(KafkaConnectionError):
        await producer.start()
    await producer.stop()


async def test_a_broker_with_a_certificate_of_nobody_we_trust_is_none(broker: SecureKafka) -> None:
    options = options_of(broker, "release") | {"ssl_context": ssl.create_default_context()}
    producer = AIOKafkaProducer(**options)
    with pytest.raises(KafkaConnectionError):
        await producer.start()
    await producer.stop()


def test_a_service_runs_on_it(broker: SecureKafka, databases: Databases) -> None:
    database = databases.fresh("release")
    port = free_port()
    environment = {
        **os.environ,
        **broker.settings_of("release"),
        "DATABASE_URL": database.url,
        "OIDC_ISSUER": "http://none.example",
        "HTTP_PORT": str(port),
    }

    def checks() -> dict[str, Any]:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30, trust_env=False)
        except httpx.HTTPError:
            return {}
        found: dict[str, Any] = answer.json()["checks"]
        needed = {"broker", "relay", "line psa", "line commands", "line accounting"}
        return found if all(found.get(name, {}).get("ok") for name in needed) else {}

    with subprocess.Popen(
        [sys.executable, "-m", "release"], env=environment, stdout=subprocess.DEVNULL
    ) as run:
        try:
            lines = wait_for(checks, seconds=180, what="the service's lines")
            assert "records behind" in lines["line psa"]["detail"]
        finally:
            run.terminate()
    databases.drop(database)
