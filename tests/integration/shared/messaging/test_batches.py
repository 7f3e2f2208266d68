"""A batch becomes an effect once, whatever is in it and however often it comes (domain.md sections 6 and 7)."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging import batches
from shared.messaging.batches import BatchNotTakenError, BatchProcessor, Line, StrayCancellationError
from shared.messaging.line_guard import LineGuard
from shared.messaging.message import Decoded, Message, decode
from support.records import cloud_event_headers, raw_record

from .conftest import ACCOUNT, Effects, account_record, accounts_of, dead_letters_of, position_of

DEEP = b'{"account_id":"A","version":1,"x":' + b"[" * 200 + b"]" * 200 + b"}"
POISON = {
    "bad JSON": raw_record("psa.accounts", b'{"account_id', cloud_event_headers(ACCOUNT, "p1")),
    "not an object": raw_record("psa.accounts", b"[]", cloud_event_headers(ACCOUNT, "p2")),
    "not UTF-8": raw_record("psa.accounts", b'{"account_id":"\xff"}', cloud_event_headers(ACCOUNT, "p3")),
    "NaN": raw_record(
        "psa.accounts", b'{"account_id":"A","version":NaN}', cloud_event_headers(ACCOUNT, "p4")
    ),
    "wrong type": raw_record(
        "psa.accounts", b'{"account_id":"A","version":"1"}', cloud_event_headers(ACCOUNT, "p5")
    ),
    "missing field": raw_record("psa.accounts", b'{"version":1}', cloud_event_headers(ACCOUNT, "p6")),
    "deep nesting": raw_record("psa.accounts", DEEP, cloud_event_headers(ACCOUNT, "p7")),
    "too large": raw_record(
        "psa.accounts", b'"' + b"x" * 9_000_000 + b'"', cloud_event_headers(ACCOUNT, "p8")
    ),
    "framed by a schema registry": raw_record("psa.accounts", b"\x00\x00\x00\x00\x07{}", []),
    "unknown type": raw_record("psa.accounts", b"{}", cloud_event_headers("psa.nothing.v1", "p10")),
    "type of another topic": raw_record(
        "psa.accounts", b"{}", cloud_event_headers("psa.company.upserted.v1", "p11")
    ),
    "no headers": raw_record("psa.accounts", b"{}", []),
    "null id": raw_record("psa.accounts", b"{}", [("ce_id", None), ("ce_type", ACCOUNT.encode())]),
    "id not UTF-8": raw_record(
        "psa.accounts", b"{}", [*cloud_event_headers(ACCOUNT, "x")[:1], ("ce_id", b"\xff")]
    ),
    "NUL in a text": raw_record(
        "psa.accounts",
        b'{"account_id":"A","version":1,"name":"a\\u0000b"}',
        cloud_event_headers(ACCOUNT, "p12"),
    ),
}


async def test_each_message_has_its_effect(store: Database, effects: Effects) -> None:
    await effects.processor(store).take([account_record("A-1"), account_record("A-2")])
    assert await accounts_of(store) == ["A-1", "A-2"]
    assert await store.pool.fetchval("select count(*) from outbox") == 2


async def test_a_batch_that_comes_again_changes_nothing(store: Database, effects: Effects) -> None:
    records = [account_record("A-1"), account_record("A-2")]
    await effects.processor(store).take(records)
    await effects.processor(store).take(records)
    assert effects.seen == ["A-1", "A-2"]
    assert await store.pool.fetchval("select count(*) from outbox") == 2
    position = await position_of(store)
    assert (position["applied"], position["duplicates"], position["dead_letters"]) == (2, 0, 0)


async def test_the_same_id_twice_in_a_batch_has_one_effect(store: Database, effects: Effects) -> None:
    await effects.processor(store).take(
        [account_record("A-1", message_id="m"), account_record("A-1", message_id="m")]
    )
    assert effects.seen == ["A-1"]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
async def test_the_same_id_with_another_payload_is_a_dead_letter(
    store: Database, effects: Effects, together: bool
) -> None:
    first, second = account_record("A-1", message_id="m"), account_record("A-2", message_id="m")
    for batch in [[first, second]] if together else [[first], [second]]:
        await effects.processor(store).take(batch)
    assert await accounts_of(store) == ["A-1"]
    (letter,) = await dead_letters_of(store)
    assert letter["payload"] == second.value


async def test_one_message_of_each_poison_and_the_stream_goes_on(store: Database, effects: Effects) -> None:
    records = []
    for number, poison in enumerate(POISON.values()):
        records += [account_record(f"A-{number:02}"), poison]
    await effects.processor(store).take(records)
    assert len(await accounts_of(store)) == len(POISON)
    letters = await dead_letters_of(store)
    assert [letter["payload"] for letter in letters] == [poison.value for poison in POISON.values()]
    for letter, poison in zip(letters, POISON.values(), strict=True):
        headers = {
            name: bytes.fromhex(value) if value is not None else None for name, value in letter["headers"]
        }
        assert headers["dl_reason"]
        assert headers["dl_topic"] == b"psa.accounts"
        assert int(headers["dl_offset"] or b"") == poison.offset
        assert all({"field", "message"} == set(error) for error in json.loads(headers["dl_errors"] or b""))
        assert all(headers[name] == value for name, value in poison.headers)


async def test_a_wrong_field_is_named(store: Database, effects: Effects) -> None:
    await effects.processor(store).take([POISON["wrong type"]])
    (letter,) = await dead_letters_of(store)
    errors = dict(letter["headers"])["dl_errors"]
    assert [error["field"] for error in json.loads(bytes.fromhex(errors))] == ["version"]


async def test_a_bad_record_that_comes_again_makes_no_second_dead_letter(
    store: Database, effects: Effects
) -> None:
    for _ in range(3):
        await effects.processor(store).take([POISON["bad JSON"], POISON["no headers"]])
    assert len(await dead_letters_of(store)) == 2


async def test_one_bad_header_does_not_lose_its_batch(store: Database, effects: Effects) -> None:
    records = [account_record(f"A-{number:03}") for number in range(500)]
    broken = records[250]
    records[250] = raw_record(
        "psa.accounts", broken.value, [*broken.headers, ("x", b"\xff\xfe"), ("y", None)]
    )
    await effects.processor(store).take(records)
    assert len(await accounts_of(store)) == 500


async def test_a_message_that_breaks_its_handler_is_put_aside_alone(
    store: Database, effects: Effects
) -> None:
    effects.broken = frozenset({"A-2"})
    await effects.processor(store).take([account_record(f"A-{number}") for number in (1, 2, 3)])
    assert await accounts_of(store) == ["A-1", "A-3"]
    assert len(await dead_letters_of(store)) == 1


async def test_a_rejected_message_is_a_dead_letter_and_can_be_replayed(
    store: Database, effects: Effects
) -> None:
    effects.rejected = frozenset({"A-1"})
    record = account_record("A-1", message_id="m")
    await effects.processor(store).take([record])
    assert len(await dead_letters_of(store)) == 1
    effects.rejected = frozenset()
    await effects.processor(store).take([account_record("A-1", message_id="m")])
    assert await accounts_of(store) == ["A-1"]


async def test_a_known_type_that_is_not_handled_is_left_alone(store: Database, effects: Effects) -> None:
    line = Line("psa", ("psa.accounts",), frozenset(), effects.handle)
    await BatchProcessor(store, line, service="release").take([account_record("A-1")])
    assert effects.seen == []
    assert await store.pool.fetchval("select ignored from consumed_positions") == 1
    assert await dead_letters_of(store) == []


async def test_two_consumers_with_the_same_messages_make_one_effect(
    store: Database, effects: Effects
) -> None:
    records = [account_record(f"A-{number:03}") for number in range(200)]
    other = Effects()
    # The other order: unsorted claims would deadlock.
    await asyncio.gather(effects.processor(store).take(records), other.processor(store).take(records[::-1]))
    assert len(await accounts_of(store)) == 200
    assert sorted(effects.seen + other.seen) == sorted(record.key.decode() for record in records)


async def test_a_handler_that_is_cancelled_from_inside_raises_and_leaves_nothing(store: Database) -> None:
    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        raise asyncio.CancelledError

    line = Line("psa", ("psa.accounts",), frozenset({ACCOUNT}), handle)
    record = account_record("A-1")
    with pytest.raises(StrayCancellationError):
        await BatchProcessor(store, line, service="release").take([record])
    effects = Effects()
    await effects.processor(store).take([record])
    assert effects.seen == ["A-1"]


async def test_a_database_that_is_away_gives_the_batch_back(
    store: Database, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BACKOFF_SECONDS_FIRST", 0.001)
    failures = 2

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise asyncpg.ConnectionDoesNotExistError("gone")
        await effects.handle(work, messages)

    processor = BatchProcessor(
        store, Line("psa", ("psa.accounts",), frozenset({ACCOUNT}), handle), service="release"
    )
    record = account_record("A-1")
    for _ in range(2):
        with pytest.raises(BatchNotTakenError):
            await processor.take([record])
    await processor.take([record])
    assert await accounts_of(store) == ["A-1"]
    assert await dead_letters_of(store) == []


async def test_a_line_of_bad_records_pauses_and_loses_nothing(
    store: Database, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("shared.messaging.batches.asyncio.sleep", note)
    guard = LineGuard(window_records=10, pause_seconds_first=3600.0)
    processor = BatchProcessor(store, effects.line(), service="release", guard=guard)
    bad = [
        raw_record("psa.accounts", b"{", cloud_event_headers(ACCOUNT, str(number))) for number in range(10)
    ]
    await processor.take(bad[:5])
    assert not processor.is_paused
    await processor.take(bad[5:])
    assert processor.is_paused
    await processor.take([account_record("A-1")])
    assert pauses == [pytest.approx(3600.0, abs=600.0)]
    assert await accounts_of(store) == ["A-1"]
    assert len(await dead_letters_of(store)) == 10


async def test_tombstones_are_counted_and_left_out_however_many_come(
    store: Database, effects: Effects
) -> None:
    line = Line("psa", ("psa.accounts", "psa.business-records"), frozenset({ACCOUNT}), effects.handle)
    processor = BatchProcessor(store, line, service="release", guard=LineGuard(window_records=10))
    for _ in range(3):
        await processor.take([raw_record("psa.business-records", None, []) for _ in range(100)])
    await processor.take([account_record("A-1")])
    assert not processor.is_paused
    assert await accounts_of(store) == ["A-1"]
    assert await dead_letters_of(store) == []
    assert await store.pool.fetchval("select sum(ignored) from consumed_positions") == 300


async def test_a_record_that_was_read_and_forgotten_is_counted_as_read_alone(
    store: Database, effects: Effects
) -> None:
    def forgetful(records: Any, handled: frozenset[str]) -> Decoded:
        return decode(records[1:], handled)

    line = Line("psa", ("psa.accounts",), frozenset({ACCOUNT}), effects.handle, decode=forgetful)
    await BatchProcessor(store, line, service="release").take([account_record("A-1"), account_record("A-2")])
    position = await position_of(store)
    assert (position["records"], position["applied"]) == (2, 1)


async def test_what_was_read_is_what_was_applied_or_put_aside(store: Database, effects: Effects) -> None:
    records: list[Any] = [account_record(f"A-{number}", offset=number) for number in range(20)]
    records[3] = raw_record("psa.accounts", b"{", cloud_event_headers(ACCOUNT, "bad"), offset=3)
    records[7] = account_record("A-6", message_id=dict(records[6].headers)["ce_id"].decode(), offset=7)
    for batch in (records[:10], records[:10], records[10:]):
        await effects.processor(store).take(batch)
    position = await position_of(store)
    assert position["applied"] + position["duplicates"] + position["dead_letters"] + position["ignored"] == 20
    assert position["records"] == 20
    assert (position["duplicates"], position["dead_letters"]) == (1, 1)
    assert position["next_offset"] == max(record.offset for record in records) + 1
