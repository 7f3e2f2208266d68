"""Defects planted on purpose: each starts a service with one of its safeguards broken, to see whether a test notices.

Run as `python -c "from support.planted import run; run('NAME', 'MODULE')"` with the tests' folder on the path. The file
that REACHED_FILE names is made once the broken place has been reached: a defect that nothing runs into proves nothing.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition

from shared import failpoints
from shared.messaging import batches, inbox, lines, relay
from shared.money import ZERO

REACHED_FILE: Final = "SLUICE_PLANTED_REACHED"


def _reached() -> None:
    Path(os.environ[REACHED_FILE]).touch()


def _replace(place: object, name: str, by: object) -> None:
    assert hasattr(place, name), f"{place} has no {name} any more: the defect would break nothing"
    setattr(place, name, by)


def _claim_always_fresh() -> None:
    """Whatever comes again is handled again."""
    claim = inbox.claim

    async def claim_all(connection: Any, messages: Sequence[Any]) -> inbox.Claim:
        if (await claim(connection, messages)).duplicates:
            _reached()
        return inbox.Claim(fresh=list(messages))

    _replace(inbox, "claim", claim_all)


def _acknowledge_before_commit() -> None:
    """Offsets are committed before the transaction, in the broker and in the database, which is asked after a crash."""
    consumers: dict[int, lines.Consumer] = {}
    make, take = lines.Consumer.__init__, batches.BatchProcessor.take

    def make_and_remember(
        self: lines.Consumer, broker: Any, processor: Any, *rest: Any, **named: Any
    ) -> None:
        make(self, broker, processor, *rest, **named)
        consumers[id(processor)] = self

    async def acknowledge_and_take(self: batches.BatchProcessor, records: Sequence[Any]) -> None:
        reached: dict[TopicPartition, int] = {}
        for record in records:
            reached[TopicPartition(record.topic, record.partition)] = record.offset + 1
        await consumers[id(self)].subscriber.consumer.commit(reached)
        await self.pass_to({(each.topic, each.partition): offset for each, offset in reached.items()})
        _reached()
        await take(self, records)

    _replace(lines.Consumer, "__init__", make_and_remember)
    _replace(batches.BatchProcessor, "take", acknowledge_and_take)


def _delete_before_send() -> None:
    """The relay deletes what it is about to send."""

    class Forgetful(relay.Relay):
        async def _send(self, rows: Sequence[Any]) -> Any:
            assert self._connection is not None, "who leads has a connection"
            await self._connection.execute(relay._DELETE, [row["seq"] for row in rows])
            _reached()
            failpoints.hit(failpoints.RELAY_BEFORE_SEND)
            return await super()._send(rows)

    def make(database: Any, producer: AIOKafkaProducer, *, service: str) -> relay.Relay:
        return Forgetful(database, producer, service=service)

    _replace(import_module("shared.service"), "Relay", make)


def _skip_project_lock() -> None:
    """A release reads its project's cap without locking it."""
    name, clause = "_LOCK_PROJECTS_OF_EVENTS", " for no key update"
    statements = import_module("release.store.caps")
    locking = getattr(statements, name)
    assert clause in locking, "projects are locked otherwise now"
    _replace(statements, name, locking.replace(clause, ""))
    lock = statements.lock_caps_of_events

    async def lock_nothing(*arguments: Any, **named: Any) -> Any:
        _reached()
        return await lock(*arguments, **named)

    _replace(statements, "lock_caps_of_events", lock_nothing)


def _less_than() -> None:
    """What is exactly as much as remains does not fit."""

    def fits_project(summary_amount: Any, remaining: Any) -> bool:
        if summary_amount == remaining:
            _reached()
        return bool(summary_amount <= ZERO or summary_amount < remaining)

    cap_case = import_module("release.domain.cap_case")
    _replace(cap_case, "fits_project", fits_project)


DEFECTS: Final[Mapping[str, Callable[[], None]]] = {
    "claim always fresh": _claim_always_fresh,
    "acknowledge before commit": _acknowledge_before_commit,
    "delete before send": _delete_before_send,
    "skip project lock": _skip_project_lock,
    "less than": _less_than,
}
"""What breaks each safeguard, by name."""


def run(defect: str, module: str) -> None:
    """Break the safeguard, then run the service of this module as ever."""
    DEFECTS[defect]()
    import_module(f"{module}.main").main()
