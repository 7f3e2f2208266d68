"""How a batch of records becomes an effect, once: claim, handle, publish and note the position in one transaction."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord

from shared import failpoints
from shared.backoff import Backoff
from shared.database.database import Database
from shared.database.faults import Fault, fault_of, is_ours, is_transient, name_of
from shared.database.unit_of_work import UnitOfWork
from shared.messaging import dead_letters, inbox
from shared.messaging.line_guard import LineGuard
from shared.messaging.message import Decoded, Message, Refusal, decode
from shared.telemetry import metrics, traces
from shared.telemetry.logs import describe
from shared.trouble import Trouble

RECORDS_MAX: Final = 500
BACKOFF_SECONDS_FIRST: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 10.0
HELD_TRIES_MAX: Final = 10
"""How often a message that breaks its handler is tried before it is put aside while no other one shows that it alone
is to blame: for about half a minute."""
WITNESSES_MAX: Final = 10

_STEP_ON: Final = """
update consumed_positions as position set
  next_offset = told.next_offset,
  applied = position.applied + told.applied,
  duplicates = position.duplicates + told.duplicates,
  dead_letters = position.dead_letters + told.dead_letters,
  ignored = position.ignored + told.ignored,
  records = position.records + told.records
from unnest(
  $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
  $10::bigint[]
) as told (topic, partition, next_offset, applied, duplicates, dead_letters, ignored, records, first_offset)
where position.line = $1 and position.topic = told.topic and position.partition = told.partition
  and position.next_offset <= told.first_offset
returning position.topic, position.partition
"""

_ADVANCE: Final = """
insert into consumed_positions as position
  (line, topic, partition, next_offset, applied, duplicates, dead_letters, ignored, records)
select $1, * from unnest(
  $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[]
)
order by 2, 3
on conflict (line, topic, partition) do update set
  next_offset = greatest(position.next_offset, excluded.next_offset),
  applied = position.applied + excluded.applied,
  duplicates = position.duplicates + excluded.duplicates,
  dead_letters = position.dead_letters + excluded.dead_letters,
  ignored = position.ignored + excluded.ignored,
  records = position.records + excluded.records
"""

_REACHED: Final = """
select topic, partition, next_offset from consumed_positions where line = $1 order by topic, partition for update
"""

_KNOWN: Final = "select topic, partition, next_offset from consumed_positions where line = $1"
_STEP_OVER: Final = """
insert into consumed_positions as position
  (line, topic, partition, next_offset, applied, duplicates, dead_letters, ignored, records)
select $1, *, 0, 0, 0, 0, 0 from unnest($2::text[], $3::int[], $4::bigint[])
order by 2, 3
on conflict (line, topic, partition) do update set next_offset = greatest(position.next_offset, excluded.next_offset)
"""

_Place = tuple[str, int, int]

Handler = Callable[[UnitOfWork, Sequence[Message]], Awaitable[None]]
Decode = Callable[[Sequence["ConsumerRecord[bytes, bytes]"], frozenset[str]], Decoded]

log = structlog.get_logger(__name__)


class BatchNotTakenError(RuntimeError):
    """The batch could not be taken now; its records are to be delivered again."""


class StrayCancellationError(RuntimeError):
    """Something inside a handler raised CancelledError although nobody cancelled the consumer."""


class _RehearsedError(Exception):
    """Undoes what was only tried."""


@dataclass(frozen=True, slots=True)
class Line:
    """A stream that a service reads: topics, the types it acts on, and the handler of a batch of them.

    The handler runs in one transaction, gets valid messages that were not seen before, in the order of their
    partitions, and must decide in that order. It raises only if the database cannot take what it writes.
    `decode` sorts the records of a batch, given the handled types; a line whose topics carry something else than the
    catalogue's messages brings its own, which never raises for anything that a record can hold.
    `pace_seconds` is the least time from one batch to the next: what comes after a quiet time is taken at once, and a
    steady stream in fewer, larger batches, for each batch costs broker, database and service the same anew.
    """

    name: str
    topics: tuple[str, ...]
    handled: frozenset[str]
    handle: Handler
    records_max: int = RECORDS_MAX
    decode: Decode = decode
    pace_seconds: float = 0.0


def group_of(service: str, line: Line) -> str:
    """The consumer group of a line."""
    return f"{service}.{line.name}"


class BatchProcessor:
    """Takes the batches of one line of one service."""

    def __init__(
        self, database: Database, line: Line, *, service: str, guard: LineGuard | None = None
    ) -> None:
        self._database = database
        self._line = line
        self._service = service
        self._source = line.topics[0] if len(line.topics) == 1 else line.name
        self._group = group_of(service, line)
        self._guard = guard or LineGuard()
        self._backoff = Backoff(BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MAX)
        self._trouble = Trouble()
        self.stopped_by: str | None = None
        """The fault of ours for which the line takes nothing, until it is cured."""
        self.last_taken_at = time.monotonic()
        metrics.begin_line(line.name)

    @property
    def is_paused(self) -> bool:
        """Whether the line has stopped because most of what comes is bad."""
        return self._guard.pause_seconds(time.monotonic()) > 0

    async def known_offsets(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition that the line has read from, as the database knows it."""
        rows = await self._database.pool.fetch(_KNOWN, self._line.name)
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def pass_to(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Note that partitions hold nothing more before these offsets: the ends of transactions take some, too."""
        keys = sorted(offsets)
        columns = [[key[0] for key in keys], [key[1] for key in keys], [offsets[key] for key in keys]]
        await self._database.run(lambda work: work.connection.execute(_STEP_OVER, self._line.name, *columns))

    async def take(self, records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
        """Take a batch: when this returns, its offsets may be committed.

        Raises BatchNotTakenError after a back-off if the records have to come again, and never anything because of
        what a record holds.
        """
        await self._pause_if_broken()
        started = time.perf_counter()
        try:
            with traces.process_span(self._source, self._group, records):
                decoded = self._line.decode(records, self._line.handled)
                failpoints.hit(failpoints.CONSUMER_BEFORE_TRANSACTION)
                bad = await self._take_decoded(records, decoded)
                failpoints.hit(failpoints.CONSUMER_AFTER_COMMIT)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling() > 0:
                raise
            raise StrayCancellationError(self._line.name) from None
        except Exception as error:
            await self._back_off(error)
            raise BatchNotTakenError(self._line.name) from error
        self._backoff.succeeded()
        if self._trouble.ends():
            log.info("line goes on", line=self._line.name)
        self.stopped_by = None
        self.last_taken_at = time.monotonic()
        self._guard.observe(good=len(records) - bad, bad=bad, now=self.last_taken_at)
        metrics.observe_batch(self._line.name, len(records), time.perf_counter() - started, bad)

    async def _pause_if_broken(self) -> None:
        pause_seconds = self._guard.pause_seconds(time.monotonic())
        if pause_seconds:
            log.error(
                "line paused: most of the last records are bad",
                line=self._line.name,
                pause_seconds=round(pause_seconds, 3),
            )
            metrics.count_pause(self._line.name)
            await asyncio.sleep(pause_seconds)

    async def _back_off(self, error: Exception) -> None:
        self.stopped_by = None if is_transient(error) else name_of(error)
        is_new = self._trouble.begins(name_of(error))
        if self.stopped_by is not None:
            metrics.count_own_fault(f"line {self._line.name}")
            if is_new:
                log.error(
                    "line stopped by a fault of ours, its records will come again", **self._about(error)
                )
        elif is_new:
            log.warning("batch not taken, its records will come again", **self._about(error))
        metrics.count_not_taken(self._line.name)
        await self._backoff.wait()

    def _about(self, error: Exception) -> dict[str, Any]:
        return {"line": self._line.name, **describe(error)}

    async def _take_decoded(self, records: Sequence["ConsumerRecord[bytes, bytes]"], decoded: Decoded) -> int:
        """Take the batch whole; if a message breaks the handler, one by one, so that only that one is put aside."""
        try:
            return await self._database.run(lambda work: self._apply(work, records, decoded))
        except Exception as error:
            if is_ours(error):
                raise
            log.exception("handler failed, taking the records one by one", line=self._line.name)
        bad, others_pass = 0, False
        for place, record in enumerate(records):
            single = self._line.decode([record], self._line.handled)
            try:
                bad += await self._database.run(lambda work, r=record, d=single: self._apply(work, [r], d))  # type: ignore[misc]
                others_pass = others_pass or bool(single.messages)
            except Exception as error:
                if is_ours(error):
                    raise
                if fault_of(error) is Fault.DOUBTFUL and not others_pass:
                    others_pass = await self._any_passes(records[place + 1 :])
                    if not others_pass and self._backoff.failures < HELD_TRIES_MAX:
                        raise
                refusal = Refusal(record, f"the message could not be handled ({name_of(error)})")
                broken = Decoded(refusals=[refusal])
                bad += await self._database.run(lambda work, r=record, d=broken: self._apply(work, [r], d))  # type: ignore[misc]
        return bad

    async def _any_passes(self, records: Sequence["ConsumerRecord[bytes, bytes]"]) -> bool:
        """Whether one of the next records could be taken now: then not all of them meet the fault. Changes nothing."""
        decoded = self._line.decode(records, self._line.handled)
        for message in decoded.messages[:WITNESSES_MAX]:
            try:
                async with self._database.transaction() as work:
                    await self._line.handle(work, [message])
                    await work.flush()
                    raise _RehearsedError
            except _RehearsedError:
                return True
            except Exception as error:
                if is_ours(error):
                    raise
        return False

    async def _apply(
        self, work: UnitOfWork, records: Sequence["ConsumerRecord[bytes, bytes]"], decoded: Decoded
    ) -> int:
        """The effect of a batch, in the open transaction. Returns how many of its records are bad."""
        claim = await inbox.claim(work.connection, decoded.messages)
        work.rejected.clear()
        if claim.fresh:
            await self._line.handle(work, claim.fresh)
        refusals = [*decoded.refusals, *claim.refusals]
        if work.rejected:
            await inbox.unclaim(work.connection, claim, [message for message, _, _ in work.rejected])
            refusals += [Refusal(message.record, reason, errors) for message, reason, errors in work.rejected]
        await dead_letters.write(work, self._service, refusals)
        await self._advance(work, records, decoded, claim, refusals)
        failpoints.hit(failpoints.CONSUMER_BEFORE_COMMIT)
        metrics.count_duplicates(self._line.name, len(claim.duplicates))
        return len(refusals)

    async def _advance(
        self,
        work: UnitOfWork,
        records: Sequence["ConsumerRecord[bytes, bytes]"],
        decoded: Decoded,
        claim: inbox.Claim,
        refusals: Sequence[Refusal],
    ) -> None:
        """Note how far each partition was taken, and what became of its records, each counted once."""
        outcomes: dict[_Place, int] = {}
        for outcome, group in (
            (1, [message.record for message in claim.fresh]),
            (2, [message.record for message in claim.duplicates]),
            (3, [refusal.record for refusal in refusals]),  # of the new ones those that were rejected
            (4, decoded.ignored),
        ):
            for record in group:
                outcomes[(record.topic, record.partition, record.offset)] = outcome
        counts = _count(records, outcomes, reached={})
        first_offsets: dict[tuple[str, int], int] = {}
        for record in records:  # in the order of their offsets
            first_offsets.setdefault((record.topic, record.partition), record.offset)
        stepped = await work.connection.fetch(
            _STEP_ON, self._line.name, *_columns(counts), [first_offsets[key] for key in sorted(counts)]
        )
        if len(stepped) == len(counts):
            return
        # A partition that is new here, or whose records come again: those were counted when they came first.
        reached = {
            (row["topic"], row["partition"]): row["next_offset"]
            for row in await work.connection.fetch(_REACHED, self._line.name)
        }
        done = {(row["topic"], row["partition"]) for row in stepped}
        counts = _count([r for r in records if (r.topic, r.partition) not in done], outcomes, reached)
        await work.connection.execute(_ADVANCE, self._line.name, *_columns(counts))


def _count(
    records: Sequence["ConsumerRecord[bytes, bytes]"],
    outcomes: Mapping[_Place, int],
    reached: Mapping[tuple[str, int], int],
) -> dict[tuple[str, int], list[int]]:
    """By partition: the next offset, how many records were applied, repeated, refused and ignored, and how many in all.

    A record of which nothing has become is in the last alone: reconciliation finds it (`records_are_counted`).
    """
    counts: dict[tuple[str, int], list[int]] = {}
    for record in records:
        key = (record.topic, record.partition)
        row = counts.setdefault(key, [0, 0, 0, 0, 0, 0])
        row[0] = max(row[0], record.offset + 1)
        if record.offset >= reached.get(key, 0):
            row[5] += 1
            if outcome := outcomes.get((*key, record.offset)):
                row[outcome] += 1
    return counts


def _columns(counts: Mapping[tuple[str, int], Sequence[int]]) -> list[list[Any]]:
    keys = sorted(counts)
    columns: list[list[Any]] = [[key[0] for key in keys], [key[1] for key in keys]]
    return columns + [[counts[key][place] for key in keys] for place in range(6)]
