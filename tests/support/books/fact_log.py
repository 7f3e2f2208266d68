"""What the services have told, read on from where the last look ended: facts, each once, and dead letters."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import ConsumerRecord

from support.books.quiet import SCHEMAS
from support.load.broker_clients import read_on

FACT_TOPICS: Final = (
    "release.events",
    "accounting.events",
    "accounting.commands",
    "release.commands",
    "billing-runs.events",
    "notifier.events",
)
DEAD_LETTER_TOPICS: Final = tuple(f"{service}.dead-letters" for service in SCHEMAS)
REFUSED: Final = "release.billing-event.refused.v1"

_SOURCE: Final = "sluice/"
_SUBJECTS: Final = (
    ("release.job.", "job_id"),
    ("release.cap.", "project_id"),
    ("release.billing-event.", "billing_event_id"),
    ("accounting.document.", "document_id"),
    ("accounting.process-run.", "process_run_id"),
    ("accounting.billing-event.", "billing_event_id"),
    ("notifier.notification.", "notification_id"),
)


def headers_of(record: "ConsumerRecord[bytes, bytes]") -> dict[str, str]:
    """The headers as text; of one that is there twice, the last."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}


class FactLog:
    """All facts and dead letters of one system so far."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """How often each type was told of each subject; a repetition of the same fact does not count."""
        self.places: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        """Where release first told each type of each billing event: partition and offset."""
        self.refusals: dict[str, Any] = {}
        """The last reasons for which release refused each billing event."""
        self.letters: list[ConsumerRecord[bytes, bytes]] = []
        self.differences: list[str] = []
        """Facts whose id was used for something else: a repetition must be identical."""
        self._said: dict[tuple[str, str], bytes] = {}
        self._reached: dict[tuple[str, int], int] = {}

    async def read_on(self, client_options: Mapping[str, Any]) -> None:
        """Read what has come since the last time."""
        for record in await read_on(client_options, (*FACT_TOPICS, *DEAD_LETTER_TOPICS), self._reached):
            self._reached[record.topic, record.partition] = record.offset + 1
            if record.topic in DEAD_LETTER_TOPICS:
                self.letters.append(record)
            else:
                self._add(record, headers_of(record))

    def _add(self, record: "ConsumerRecord[bytes, bytes]", headers: Mapping[str, str]) -> None:
        source, message_id = headers.get("ce_source", ""), headers.get("ce_id", "")
        if not source.startswith(_SOURCE):
            return
        content = b"|".join((record.topic.encode(), record.key or b"", record.value or b""))
        said = hashlib.blake2b(content, digest_size=16).digest()
        first = self._said.setdefault((source, message_id), said)
        if first is not said:
            if first != said:
                self.differences.append(
                    f"{record.topic}: the message {message_id} was repeated with another content"
                )
            return
        message_type = headers["ce_type"]
        body = json.loads(record.value or b"{}")
        subject = _subject(message_type, body)
        self.counts[message_type, subject] += 1
        if record.topic == "release.events":
            self.places[subject].setdefault(message_type, (record.partition, record.offset))
        if message_type == REFUSED:
            self.refusals[subject] = body["reasons"]


def _subject(message_type: str, body: Mapping[str, Any]) -> str:
    if "billing_event" in body:
        return str(body["billing_event"]["billing_event_id"])
    field = next((name for prefix, name in _SUBJECTS if message_type.startswith(prefix)), "")
    return str(body.get(field, ""))
