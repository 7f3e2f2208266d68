"""All four services as their main modules put them together, on one PostgreSQL, with a broker of lists.

What they publish is carried from their outboxes to their lines, and their background work is done, until nothing moves:
whole flows run in one process, without Kafka and without waiting.
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import httpx
from aiokafka import ConsumerRecord

from shared.database.database import Database
from shared.http.application import Application
from shared.http.health import HealthRegistry
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import TokenVerifier
from shared.messaging.batches import BatchNotTakenError, BatchProcessor
from shared.messaging.relay import headers_of
from shared.service import Parts, make_application
from shared.settings import ServiceSettings
from sluice.compositions import COMPOSITIONS, Composition
from support.databases import FreshDatabase
from support.records import raw_record
from unit.shared.http.sample import AUDIENCE, ISSUER, Issuer

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"

SCOPES: Final = (
    "billing-events:read billing-events:release billing-events:revert documents:read documents:write"
    " billing-runs:read billing-runs:write billing-runs:approve alerts:read alerts:write settings:write"
)
ROUNDS_MAX: Final = 500
ROWS_MAX: Final = 1_000
TAKES_MAX: Final = 20

_TAKE: Final = """
with oldest as (select seq from outbox order by seq limit $1),
taken as (delete from outbox using oldest where outbox.seq = oldest.seq returning outbox.*)
select * from taken order by seq
"""


@dataclass(frozen=True, slots=True)
class Published:
    """A fact, a command or a dead letter that a service published."""

    topic: str
    type: str
    body: Any


class ComposedService:
    """One service: its parts, its application, and what reads its lines."""

    def __init__(
        self, composition: Composition, database: Database, issuer: Issuer, settings: ServiceSettings
    ) -> None:
        self.name = composition.name
        self.settings = settings
        self.database = database
        self.parts: Parts = composition.compose(settings)(database)
        keys = SigningKeys(ISSUER, f"{ISSUER}/jwks", fetch=issuer.fetch)
        self.application: Application = make_application(
            self.name,
            self.parts,
            database=database,
            verifier=TokenVerifier(ISSUER, AUDIENCE, keys),
            health=HealthRegistry(),
        )
        self._processors = [
            (line, BatchProcessor(database, line, service=self.name)) for line in self.parts.lines
        ]

    async def take(self, records: Mapping[str, list[Record]]) -> None:
        """Hand the records of each topic to the lines that read it."""
        for line, processor in self._processors:
            for topic in line.topics:
                if records.get(topic):
                    await processor.take(records[topic])

    async def take_side_by_side(self, records: Mapping[str, list[Record]]) -> None:
        """The same with all lines at once; a batch that is not taken now comes again, as Kafka would deliver it."""
        await asyncio.gather(
            *(
                _until_taken(processor, records[topic])
                for line, processor in self._processors
                for topic in line.topics
                if records.get(topic)
            )
        )

    async def work(self) -> bool:
        """One step of each worker; whether there may be more."""
        more = [await worker.step() for worker in self.parts.workers]
        return any(more)

    async def taken_from_outbox(self) -> list[Any]:
        """The oldest messages, which are the broker's from now on."""
        return list(await self.database.pool.fetch(_TAKE, ROWS_MAX))

    async def close(self) -> None:
        """Let go of what it holds."""
        for stop in self.parts.on_stop:
            await stop()
        await self.database.close()


async def _until_taken(processor: BatchProcessor, records: list[Record]) -> None:
    for _ in range(TAKES_MAX):
        try:
            return await processor.take(records)
        except BatchNotTakenError:
            continue
    raise AssertionError("a batch is not taken")


@dataclass
class ComposedSystem:
    """The four services and who signs their tokens.

    `published` is all that they have said so far, `lengths` how many records each topic has, `claims`
    what tokens say where nothing else is wanted.
    """

    services: dict[str, ComposedService]
    issuer: Issuer
    published: list[Published] = field(default_factory=list)
    lengths: Counter[str] = field(default_factory=Counter)
    claims: dict[str, Any] = field(default_factory=dict)
    _round_is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def client(self, service: str, scopes: str = SCOPES, **claims: Any) -> httpx.AsyncClient:
        """A client of a service with a token of these scopes and claims."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.services[service].application),
            base_url=f"http://{service}",
            headers={"Authorization": f"Bearer {self.issuer.token(scopes, **(self.claims | claims))}"},
        )

    async def send(self, *records: Record) -> None:
        """What PSA, a person or a stranger writes to the topics; all that follows from it is done."""
        await self._deliver(records)
        await self.settle()

    async def race(self, *acts: Awaitable[Any]) -> None:
        """What several do at once, and all that follows from it, to its end.

        Meanwhile every line takes its records and every worker does its steps, side by side: their transactions meet
        in the database in whatever order they get there.
        """
        acting = asyncio.gather(*acts)
        quiet = 0
        for _ in range(ROUNDS_MAX):
            workers = [worker for service in self.services.values() for worker in service.parts.workers]
            moved = await asyncio.gather(
                self._carry(side_by_side=True), *(worker.step() for worker in workers)
            )
            self._round_is_over.set()
            self._round_is_over = asyncio.Event()
            quiet = 0 if any(moved) or not acting.done() else quiet + 1
            if quiet == 2:
                await acting
                return
        acting.cancel()
        raise AssertionError("the services do not come to rest")

    async def rounds(self, number: int) -> None:
        """Wait, within a race, until everybody has had so many turns."""
        for _ in range(number):
            await self._round_is_over.wait()

    async def _deliver(self, records: Iterable[Record], *, side_by_side: bool = False) -> None:
        by_topic: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            placed = replace(record, offset=self.lengths[record.topic])
            self.lengths[record.topic] += 1
            by_topic[record.topic].append(placed)
        if side_by_side:
            services = self.services.values()
            await asyncio.gather(*(service.take_side_by_side(by_topic) for service in services))
            return
        for service in self.services.values():
            await service.take(by_topic)

    async def settle(self) -> None:
        """Carry messages and do the background work until nothing moves any more."""
        quiet = 0
        for _ in range(ROUNDS_MAX):
            moved = await self._carry()
            for service in self.services.values():
                moved = await service.work() or moved
            quiet = 0 if moved else quiet + 1
            if quiet == 2:  # a step that found nothing may have come before the one that left something
                return
        raise AssertionError("the services do not come to rest")

    def facts(self, *types: str) -> list[Any]:
        """The bodies of the messages of these types, in order."""
        return [each.body for each in self.published if each.type in types]

    async def _carry(self, *, side_by_side: bool = False) -> bool:
        records: list[Record] = []
        for service in self.services.values():
            for row in await service.taken_from_outbox():
                headers = headers_of(row, service.name)
                record = raw_record(row["aggregatetype"], row["payload"], headers, key=row["aggregateid"])
                records.append(record)
                body = json.loads(row["payload"]) if row["headers"] is None else row["payload"]
                self.published.append(Published(record.topic, row["type"], body))
        await self._deliver(records, side_by_side=side_by_side)
        return bool(records)

    async def close(self) -> None:
        """Let go of what they hold."""
        for service in self.services.values():
            await service.close()


async def compose_system(
    databases: Mapping[str, FreshDatabase], issuer: Issuer, **settings: Any
) -> ComposedSystem:
    """The four services on their databases, with these settings where a service has them."""
    surroundings: dict[str, Any] = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "oidc_issuer": ISSUER,
        "public_url": "http://sluice.example",
        "support_contact": "help@example.com",
        "smtp_url": "smtp://127.0.0.1:1",
        "mail_from": "Billing <billing@example.com>",
        "operators": "operator@example.com",
    }
    services = {}
    for composition in COMPOSITIONS:
        seen = databases[composition.name]
        database = Database(seen.url, schema=seen.schema, application_name="tests", connections_max=12)
        await database.open()
        given = surroundings | {"database_url": seen.url} | settings
        services[composition.name] = ComposedService(
            composition, database, issuer, composition.settings.model_validate(given)
        )
    return ComposedSystem(services, issuer)
