"""Lists of billing events and of their batches, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from release.domain.stages import Stage
from release.store.connection import Reader

# Every filter that is not given is null; the planner knows that when it plans for the values.
_EVENT_IDS: Final = """
select billing_event_id from billing_events
where ($1::text is null or billing_event_id > $1)
  and ($2::text[] is null or stage = any($2))
  and ($3::text is null or project_id = $3)
  and ($4::text is null or account_id = $4)
  and ($5::text is null or currency = $5)
  and ($6::text is null or batch_id = $6)
  and ($7::boolean is null or (left_out is not null) = $7)
order by billing_event_id limit $8
"""
_BATCH_IDS: Final = """
select batch_id from billing_events
where batch_id is not null and ($1::text is null or batch_id > $1)
group by batch_id order by batch_id limit $2
"""
_BATCHES: Final = """
select batch_id, stage, currency, count(*) as events, sum(summary_amount) as amount,
  array_agg(distinct account_id) filter (where account_id is not null) as account_ids
from billing_events where batch_id = any($1::text[])
group by batch_id, stage, currency
"""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a list of billing events is narrowed to; None where it is not."""

    stages: Sequence[Stage] | None = None
    project_id: str | None = None
    account_id: str | None = None
    currency: str | None = None
    batch_id: str | None = None
    left_out: bool | None = None


@dataclass(frozen=True, slots=True)
class BatchPart:
    """The events of a batch that have one stage and one currency: how many, their sum, and their accounts."""

    batch_id: str
    stage: Stage
    currency: str
    events: int
    amount: Decimal
    account_ids: tuple[str, ...]


async def list_event_ids(
    connection: Reader, wanted: EventFilter, *, after: str | None, rows_max: int
) -> list[str]:
    """The ids of events that match, in the order of their ids, at most `rows_max` after the given one."""
    rows = await connection.fetch(
        _EVENT_IDS,
        after,
        wanted.stages,
        wanted.project_id,
        wanted.account_id,
        wanted.currency,
        wanted.batch_id,
        wanted.left_out,
        rows_max,
    )
    return [row["billing_event_id"] for row in rows]


async def list_batch_ids(connection: Reader, *, after: str | None, rows_max: int) -> list[str]:
    """The ids of batches, in their order, at most `rows_max` after the given one."""
    return [row["batch_id"] for row in await connection.fetch(_BATCH_IDS, after, rows_max)]


async def load_batches(connection: Reader, batch_ids: Sequence[str]) -> dict[str, list[BatchPart]]:
    """The parts of batches, by batch; a batch without events is left out."""
    batches: dict[str, list[BatchPart]] = {}
    for row in await connection.fetch(_BATCHES, list(batch_ids)):
        part = BatchPart(
            batch_id=row["batch_id"],
            stage=Stage(row["stage"]),
            currency=row["currency"],
            events=row["events"],
            amount=row["amount"],
            account_ids=tuple(row["account_ids"] or ()),
        )
        batches.setdefault(part.batch_id, []).append(part)
    return batches
