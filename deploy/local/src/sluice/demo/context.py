"""What the demo's steps share: the feed, the way to the system, what was found, and what was not as expected."""

from dataclasses import dataclass, field
from typing import Any, Final

from sluice.demo.feed import Feed
from sluice.demo.http import Services
from sluice.demo.items import Item
from sluice.demo.kafka import Fact, Facts, KafkaClient, Outgoing

USER_ID: Final = "demo"
USER_EMAIL: Final = "demo@example.com"
OPERATOR_EMAIL: Final = "operators@example.com"
REQUESTED_BY: Final = {"user_id": USER_ID, "email": USER_EMAIL}

_WAIT_SECONDS: Final = 120.0
_EVENTS_PER_SECOND_MIN: Final = 50


@dataclass(slots=True)
class Demo:
    """The demo under way. `found` is the report's data, section by section; `differences` what was not as expected."""

    feed: Feed
    kafka: KafkaClient
    services: Services
    batch_size: int
    mail_page: str | None
    is_fresh: bool = True
    """Whether the system had no billing events before."""

    found: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    stated: dict[str, str] = field(default_factory=dict)
    """Why a released event has no document, by its id: the code that the system gave."""

    adjustments: dict[str, Item] = field(default_factory=dict)
    """The adjustments that a split to a budget has to make in the released event, by their ids."""

    left_out: set[str] = field(default_factory=set)
    """Items that a document leaves out, and that a new event has by now, by their ids."""

    @property
    def wait_seconds(self) -> float:
        """How long to wait for what takes time with every event."""
        return _WAIT_SECONDS + len(self.feed.events) / _EVENTS_PER_SECOND_MIN

    def note(self, section: str, *entries: Any) -> None:
        """Add entries to a section of the report that is a list."""
        self.found.setdefault(section, []).extend(entries)

    def expect(self, holds: bool, difference: str) -> None:
        """Note the difference unless what was expected holds."""
        if not holds:
            self.differences.append(difference)

    def expect_same(self, what: str, found: object, expected: object) -> None:
        """Note it unless both are the same."""
        self.expect(found == expected, f"{what}: found {found}, expected {expected}")

    async def command(self, type_: str, key: str, body: dict[str, Any], *, topic: str) -> None:
        """Send a command in the demo's user's name."""
        message_id = f"{self.feed.world.code}:{type_}:{key}"
        named = {**body, "requested_by": REQUESTED_BY}
        await self.kafka.send([Outgoing(topic, key, type_, message_id, named)])

    async def fact(self, type_: str, *, seconds: float | None = None, **fields: Any) -> Fact:
        """The fact of this type with these fields, as soon as it has come. Raises WaitError."""

        def look(facts: Facts) -> Fact | None:
            return facts.find(type_, **fields)

        told = ", ".join(f"{name} {value}" for name, value in fields.items())
        return await self.kafka.until(
            look, what=f"{type_} ({told})", seconds=self.wait_seconds if seconds is None else seconds
        )


def codes(reasons: list[dict[str, Any]]) -> list[str]:
    """The codes of these reasons, in their order."""
    return [str(reason["code"]) for reason in reasons]
