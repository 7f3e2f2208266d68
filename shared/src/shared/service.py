"""Runs a service: one process with its HTTP, its lines, its relay and its workers.

It answers `/health/live` at once, waits for a database or a broker that is away (and says so), ends with exit code 0
when asked to stop, and with 1 when something in it has died, so that whoever supervises it starts it anew.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import structlog
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from fastapi import APIRouter
from faststream.kafka import KafkaBroker

from shared.backoff import Backoff
from shared.database.database import Database
from shared.database.migrations import needed_migrations
from shared.http.application import Application, create_application
from shared.http.health import HealthRegistry
from shared.http.idempotency import prune as prune_idempotency_keys
from shared.http.server import serve
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import TokenVerifier
from shared.kafka_options import client_options, faststream_security
from shared.memory import spare_collections
from shared.messaging import dead_letters, inbox
from shared.messaging.batches import BatchProcessor, Line, group_of
from shared.messaging.broker_pulse import BrokerPulse
from shared.messaging.line_guard import LineGuard
from shared.messaging.lines import Consumer, broker_log
from shared.messaging.places import GapError
from shared.messaging.producer import KeyedProducer
from shared.messaging.relay import Relay, measure_outbox
from shared.settings import ServiceSettings
from shared.telemetry import metrics
from shared.telemetry.logs import configure_logs
from shared.telemetry.traces import configure_traces
from shared.trouble import Trouble
from shared.workers import Worker

WATCH_SECONDS: Final = 0.5
RELAY_STALL_SECONDS_MAX: Final = 30.0
PRODUCER_BYTES_MAX: Final = 20 * 1024 * 1024
RETRY_BACKOFF_MS: Final = 500
"""How long a Kafka client waits before it tries again what failed: each line has several loops that do."""
BROKER_BACKOFF_SECONDS_FIRST: Final = 0.5
BROKER_BACKOFF_SECONDS_MAX: Final = 5.0
HOUSEKEEPING_SECONDS: Final = 60.0
MEASURING_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service brings: its streams, its calls, its background work and further health checks."""

    lines: Sequence[Line]
    routers: Sequence[APIRouter]
    workers: Sequence[Worker] = ()
    description: str = ""
    on_stop: Sequence[Callable[[], Coroutine[Any, Any, None]]] = field(default=())


Compose = Callable[[Database], Parts]


class ServiceEndedError(RuntimeError):
    """Something that should run as long as the service has ended."""


class Reaching:
    """The tries to reach the broker at a start."""

    def __init__(self) -> None:
        self._backoff = Backoff(BROKER_BACKOFF_SECONDS_FIRST, BROKER_BACKOFF_SECONDS_MAX)
        self._trouble = Trouble()

    async def wait(self, error: Exception) -> None:
        """Wait before the next try; an error that is another one than before is logged."""
        reason = type(error).__name__
        if self._trouble.begins(reason):
            log.warning("broker is not reachable yet, trying again", reason=reason)
        await self._backoff.wait()


def schema_of(service: str) -> str:
    """The schema of a service's tables: its name, as an SQL name."""
    return service.replace("-", "_")


def make_consumers(
    broker: KafkaBroker, database: Database, lines: Sequence[Line], *, service: str, settings: ServiceSettings
) -> list[Consumer]:
    """A subscriber per line, each with a group of its own and a stable member name per replica."""
    consumers = []
    for line in lines:
        guard = LineGuard(bad_share_max=settings.line_bad_share_max)
        processor = BatchProcessor(database, line, service=service, guard=guard)
        consumer = Consumer(
            broker,
            processor,
            line,
            group=group_of(service, line),
            instance=settings.instance_id,
            session_timeout_seconds=settings.kafka_session_timeout_seconds,
        )
        consumers.append(consumer)
    return consumers


def make_broker(settings: ServiceSettings, *, service: str) -> KafkaBroker:
    """FastStream's broker, for consuming only: what we publish goes through the relay."""
    return KafkaBroker(
        settings.kafka_bootstrap_servers.split(","),
        client_id=service,
        security=faststream_security(settings),
        consumer_only=True,
        allow_auto_create_topics=False,
        apply_types=False,
        graceful_timeout=15.0,
        metadata_max_age_ms=30_000,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        logger=broker_log(),
    )


def make_pulse_client(settings: ServiceSettings, *, service: str) -> AIOKafkaAdminClient:
    """The client that asks whether the broker is there."""
    return AIOKafkaAdminClient(
        client_id=f"{service}-pulse",
        request_timeout_ms=15_000,
        metadata_max_age_ms=300_000,
        **client_options(settings),
    )


def make_producer(settings: ServiceSettings, *, service: str) -> AIOKafkaProducer:
    """The relay's producer: every replica acknowledges, and the broker drops what a retry repeats."""
    return AIOKafkaProducer(
        client_id=f"{service}-relay",
        acks="all",
        enable_idempotence=settings.kafka_idempotent_producer,
        linger_ms=2,
        max_batch_size=256 * 1024,
        max_request_size=PRODUCER_BYTES_MAX,
        request_timeout_ms=40_000,
        metadata_max_age_ms=30_000,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        **client_options(settings),
    )


def make_application(
    name: str, parts: Parts, *, database: Database, verifier: TokenVerifier, health: HealthRegistry
) -> Application:
    """The HTTP of a service."""
    return create_application(
        title=f"Sluice {name}",
        version=version("sluice-shared"),
        description=parts.description,
        routers=parts.routers,
        database=database,
        verifier=verifier,
        health=health,
    )


class Service:
    """One running service."""

    def __init__(self, name: str, settings: ServiceSettings, compose: Compose) -> None:
        self.name = name
        self._settings = settings
        self._stop = asyncio.Event()
        self._health = HealthRegistry()
        self._database = Database(
            settings.database_url.get_secret_value(),
            schema=schema_of(name),
            application_name=f"sluice-{name}",
            connections_max=settings.database_connections_max,
            migrations=needed_migrations(schema_of(name)),
        )
        self._parts = compose(self._database)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Run until asked to stop. Raises ServiceEndedError if a part of it dies."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            self._start("http", self._serve_http())
            stack.push_async_callback(self._stop_tasks, "http")
            self._start("health", self._health.watch())
            stack.push_async_callback(self._stop_tasks, "health")
            starting = asyncio.create_task(self._start_messaging(stack), name="starting")
            await self._watch(starting)
        log.info("service stopped", service=self.name)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _serve_http(self) -> None:
        settings = self._settings
        keys = SigningKeys(settings.oidc_issuer, settings.oidc_jwks_url)
        verifier = TokenVerifier(settings.oidc_issuer, settings.oidc_audience, keys)
        application = make_application(
            self.name, self._parts, database=self._database, verifier=verifier, health=self._health
        )
        await serve(application, settings.http_host, settings.http_port, self._stop)

    async def _start_messaging(self, stack: AsyncExitStack) -> None:
        for worker in self._parts.workers:
            self._health.add(f"worker {worker.name}", worker.check)
        pulse = BrokerPulse(lambda: make_pulse_client(self._settings, service=self.name))
        self._health.add("broker", pulse.check)
        await self._database.open()
        stack.push_async_callback(self._database.close)
        producer = await self._start_producer()
        stack.push_async_callback(producer.stop)
        relay = Relay(self._database, producer, service=self.name)
        self._health.add("relay", lambda: self._check_relay(relay))
        self._start("relay", relay.run())
        stack.push_async_callback(self._stop_tasks, "relay")
        for worker in (*self._parts.workers, self._housekeeping(), self._measuring(relay)):
            self._start(f"worker {worker.name}", worker.run())
        stack.push_async_callback(self._stop_tasks, "worker")
        broker = make_broker(self._settings, service=self.name)
        consumers = make_consumers(
            broker, self._database, self._parts.lines, service=self.name, settings=self._settings
        )
        await self._start_broker(broker)
        stack.push_async_callback(broker.stop)
        for consumer in consumers:
            self._health.add(f"line {consumer.line.name}", consumer.check)
            self._start(f"line {consumer.line.name}", self._watch_consumer(consumer))
        stack.push_async_callback(self._stop_tasks, "line")
        self._start("broker", pulse.run())
        stack.push_async_callback(self._stop_tasks, "broker")
        spare_collections()
        log.info("service is up", service=self.name, lines=[line.name for line in self._parts.lines])

    async def _start_producer(self) -> KeyedProducer:
        producer = KeyedProducer(lambda: make_producer(self._settings, service=self.name))
        reaching = Reaching()
        while True:
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                await reaching.wait(error)
            else:
                return producer

    async def _start_broker(self, broker: KafkaBroker) -> None:
        reaching = Reaching()
        while True:
            try:
                await broker.start()
            except (KafkaError, OSError) as error:
                await broker.stop()
                await reaching.wait(error)
            else:
                return

    async def _check_relay(self, relay: Relay) -> str | None:
        silent_seconds = time.monotonic() - relay.state.published_at
        if relay.state.failure is not None and silent_seconds > RELAY_STALL_SECONDS_MAX:
            raise RuntimeError(f"cannot publish: {relay.state.failure}")
        if relay.state.refused is not None:
            raise RuntimeError(relay.state.refused)
        return "leading" if relay.state.leading else "standing by"

    async def _watch_consumer(self, consumer: Consumer) -> None:
        while not consumer.has_died:
            if consumer.gap is not None:
                raise GapError(f"line {consumer.line.name}: {consumer.gap}")
            metrics.set_lag(consumer.line.name, consumer.lag_records())
            await asyncio.sleep(WATCH_SECONDS)

    def _measuring(self, relay: Relay) -> Worker:
        async def step() -> bool:
            await measure_outbox(self._database, after=relay.settled)
            return False

        return Worker("measuring", step, idle_seconds=MEASURING_SECONDS)

    def _housekeeping(self) -> Worker:
        async def step() -> bool:
            async with self._database.transaction() as work:
                pruned = await inbox.prune(work.connection, days=self._settings.inbox_days, rows_max=5_000)
                await dead_letters.prune(work.connection, days=self._settings.inbox_days)
            await prune_idempotency_keys(self._database)
            return pruned >= 5_000

        return Worker("housekeeping", step, idle_seconds=HOUSEKEEPING_SECONDS)

    async def _watch(self, starting: "asyncio.Task[None]") -> None:
        """Wait for the stop; raise as soon as a part of the service has ended by itself."""
        stopping = asyncio.create_task(self._stop.wait(), name="stopping")
        try:
            while not self._stop.is_set():
                pending = {stopping, *self._tasks.values()} | (set() if starting.done() else {starting})
                done, _ = await asyncio.wait(
                    pending, return_when=asyncio.FIRST_COMPLETED, timeout=WATCH_SECONDS
                )
                if starting.done():
                    await starting
                for name, task in self._tasks.items():
                    if task in done and not self._stop.is_set():
                        error = None if task.cancelled() else task.exception()
                        raise ServiceEndedError(f"{name} has ended") from error
        finally:
            self._stop.set()
            stopping.cancel()
            if not starting.done():
                starting.cancel()
            await asyncio.gather(stopping, starting, return_exceptions=True)
            for stop in self._parts.on_stop:
                await stop()

    async def _stop_tasks(self, prefix: str) -> None:
        tasks = [task for name, task in self._tasks.items() if name.startswith(prefix)]
        for task in tasks:
            if prefix != "http":
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run_service(name: str, settings: ServiceSettings, compose: Compose) -> None:
    """Run a service in this process until it is stopped; ends the process with 1 if a part of it has died."""
    configure_logs(name, settings.instance_id, level=settings.log_level)
    configure_traces(name, settings.instance_id, endpoint=settings.otel_exporter_otlp_endpoint)
    metrics.configure_metrics(name, settings.instance_id)
    try:
        uvloop.run(Service(name, settings, compose).run())
    except ServiceEndedError as error:
        if isinstance(error.__cause__, GapError):
            log.error("service ended", reason=str(error.__cause__))
        else:
            log.exception("service ended")
        sys.exit(1)
