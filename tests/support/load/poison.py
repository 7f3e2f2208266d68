"""Records that no service can take: each becomes exactly one dead letter, and holds nobody up."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from support.load.records import Headers, Record, event_headers

TOO_LARGE_BYTES: Final = 8 * 1024 * 1024 + 1
DEPTH: Final = 10_000
_EVENTS: Final = "psa.billing-events"
_GENERATED: Final = "psa.billing-event.generated.v1"
_PROJECT: Final = "psa.project.upserted.v1"
_RELEASE: Final = "release.billing-event.release.v1"
_START: Final = "accounting.process-run.start.v1"
_PROCESS: Final = "billing-runs.run.process.v1"


def event_body(event_id: str, **changes: Any) -> dict[str, Any]:
    """A billing event that would be taken, but for the changes."""
    item = {
        "item_id": f"{event_id}-I",
        "created_at": "2026-11-20T09:00:00Z",
        "category": "timecard",
        "business_record_id": f"{event_id}-T",
        "quantity": "1",
        "unit_price": "10.00",
        "amount": "10.00",
    }
    body = {
        "billing_event_id": event_id,
        "version": 1,
        "project_id": f"{event_id}-P",
        "date": "2026-11-20",
        "currency": "GBP",
        "items": [item],
    }
    item_changes = changes.pop("item", {})
    return {**body, **changes, "items": [{**item, **item_changes}]}


def _event(event_id: str, **changes: Any) -> Record:
    return _record(event_id, json.dumps(event_body(event_id, **changes)).encode())


def _record(
    event_id: str,
    value: bytes | None,
    headers: Headers | None = None,
    *,
    topic: str = _EVENTS,
    message_type: str = _GENERATED,
) -> Record:
    own = event_headers(message_type, event_id) if headers is None else headers
    return Record(topic, event_id.encode(), value, own, event_id)


def _without(name: str, event_id: str, *, instead: bytes | str | None = "") -> Record:
    """A good event whose header is missing, or holds these bytes, or null."""
    kept = [(each, value) for each, value in event_headers(_GENERATED, event_id) if each != name]
    if not isinstance(instead, str):
        kept.append((name, instead))
    return _record(event_id, json.dumps(event_body(event_id)).encode(), tuple(kept))


def _command(topic: str, message_type: str, event_id: str, body: Mapping[str, Any]) -> Record:
    return _record(event_id, json.dumps(body).encode(), topic=topic, message_type=message_type)


KINDS: Final[tuple[Callable[[str], Record], ...]] = (
    lambda event_id: _record(event_id, b'{"billing_event_id": "'),
    lambda event_id: _record(event_id, b"\xff\xfe\x00not JSON"),
    lambda event_id: _record(event_id, None),
    lambda event_id: _record(event_id, b""),
    lambda event_id: _record(event_id, b"[]"),
    lambda event_id: _record(event_id, b"[" * DEPTH + b"]" * DEPTH),
    lambda event_id: _record(event_id, b'{"a":' * DEPTH + b"1" + b"}" * DEPTH),
    lambda event_id: _record(event_id, b'{"billing_event_id": NaN}'),
    lambda event_id: _event(event_id, item={"amount": 10.5}),
    lambda event_id: _event(event_id, item={"amount": "NaN"}),
    lambda event_id: _event(event_id, item={"amount": "Infinity"}),
    lambda event_id: _event(event_id, item={"amount": "1e999999"}),
    lambda event_id: _event(event_id, item={"amount": "10.005"}),
    lambda event_id: _event(event_id, item={"quantity": "1.0000001"}),
    lambda event_id: _event(event_id, currency="XXQ"),
    lambda event_id: _event(event_id, version="1"),
    lambda event_id: _event(event_id, version=0),
    lambda event_id: _event(event_id, date="2026-02-30"),
    lambda event_id: _event(event_id, project_id={"nested": True}),
    lambda event_id: _event(event_id, customer_reference="NUL \x00 in it"),
    lambda event_id: _record(event_id, json.dumps(event_body(event_id, batch_id="\ud800")).encode()),
    lambda event_id: _record(event_id, b"{}", message_type="psa.billing-event.invented.v9"),
    lambda event_id: _record(event_id, b"{}", message_type=_PROJECT),
    lambda event_id: _without("ce_id", event_id),
    lambda event_id: _without("ce_type", event_id),
    lambda event_id: _without("ce_id", event_id, instead=None),
    lambda event_id: _without("ce_id", event_id, instead=b"\xff\xfe"),
    lambda event_id: _without("ce_type", event_id, instead=b"\xc3\x28"),
    lambda event_id: _without("ce_specversion", event_id, instead=b"0.3"),
    lambda event_id: _without("content-type", event_id, instead=b"text/xml"),
    lambda event_id: _record(event_id, b"{}", ()),
    lambda event_id: _command("release.commands", _RELEASE, event_id, {"billing_event_id": "no id at all!"}),
    lambda event_id: _command(
        "release.commands", _RELEASE, event_id, {"billing_event_id": "X", "oncap": "split"}
    ),
    lambda event_id: _command("accounting.commands", _START, event_id, {"process_run_id": event_id}),
    lambda event_id: _command("billing-runs.commands", _PROCESS, event_id, {"run_id": []}),
    lambda event_id: _command("psa.projects", _PROJECT, event_id, {"project_id": event_id, "version": 1.5}),
)
"""Every kind of bad record, by the id that it is given; each on a topic that one service reads."""


def poison(code: str, number: int) -> Record:
    """The bad record of this number: all kinds in turn."""
    return KINDS[number % len(KINDS)](f"{code}-X{number}")


def too_large(event_id: str) -> Record:
    """A good event with a custom field so long that the whole is over what is taken."""
    return _event(event_id, fields={"text": "x" * TOO_LARGE_BYTES})
