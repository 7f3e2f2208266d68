"""Who was told: mails that were caught, alerts in the application, and what lies among the dead letters."""

import json
from collections import Counter
from typing import Any, Final

from sluice.demo.context import OPERATOR_EMAIL, USER_EMAIL, Demo
from sluice.demo.http import caught_mails, mail_message_id
from sluice.demo.kafka import Fact, WaitError
from sluice.demo.steps.setting_up import ADDITIONAL_RECIPIENT
from sluice.demo.world import ALERT_RECIPIENT

_SENT: Final = "notifier.notification.sent.v1"
# To the user: a job with failures, process runs of three kinds, a billing run rejected, drafted, then validated.
_MAILS_MIN: Final = {USER_EMAIL: 7, ADDITIONAL_RECIPIENT: 3, ALERT_RECIPIENT: 1, OPERATOR_EMAIL: 1}
_ALERTS_MIN: Final = 8


async def look_at_mails(demo: Demo) -> str:
    """Everybody who should hear something has heard it, each thing once."""
    # Operators hear of dead letters once an hour, which a demo before this one may have used up.
    expected = {**_MAILS_MIN, OPERATOR_EMAIL: int(demo.is_fresh)}
    try:
        await demo.kafka.until(
            lambda _: all(_recipients(demo)[recipient] >= least for recipient, least in expected.items()),
            what=f"at least so many mails: {expected}",
        )
    except WaitError as error:
        raise WaitError(f"{error}; sent were {dict(_recipients(demo))}") from error
    failed = demo.kafka.facts.of("notifier.notification.failed.v1")
    demo.expect_same("mails that failed", [fact.body["recipient"] for fact in failed], [])
    if demo.mail_page is not None:
        await _compare_with_caught(demo, demo.mail_page)
    alerts = await demo.services.items("notifier", "/alerts", {})
    demo.expect(len(alerts) >= _ALERTS_MIN, f"only {len(alerts)} alerts, expected at least {_ALERTS_MIN}")
    demo.found["alerts"] = alerts
    return f"{sum(_recipients(demo).values())} mails, {len(alerts)} alerts"


async def look_at_dead_letters(demo: Demo) -> str:
    """What could not be taken is there, with the reason and the place that it came from."""
    letters = [_outline(fact) for fact in demo.kafka.facts.dead_letters]
    demo.found["dead_letters"] = letters
    demo.expect_same("dead letters", len(letters), len(demo.feed.poison))
    for message, word in demo.feed.poison:
        about = [
            letter
            for letter in letters
            if word.lower() in f"{letter['reason']} {letter['errors']}".lower()
            and letter["topic"] == message.topic
        ]
        demo.expect(bool(about), f"no dead letter says {word!r} of {message.id}")
    return f"{len(letters)}, each with its reason"


async def _compare_with_caught(demo: Demo, page: str) -> None:
    """What the mail server has is what the notifier says that it sent; nothing twice."""

    async def settled() -> list[dict[str, Any]]:
        mails = await caught_mails(page)
        caught = Counter(recipient for mail in mails for recipient in mail["recipients"])
        return mails if caught == _recipients(demo) else []

    # A mail is caught a moment before its fact is here.
    mails = await demo.services.until(settled, what="as many mails caught as were told to be sent")
    ids = Counter([(await mail_message_id(page, mail["number"]), *mail["recipients"]) for mail in mails])
    demo.expect_same("mails sent twice", [twice for twice, count in ids.items() if count > 1], [])
    demo.found["mails"] = [
        {name: mail[name] for name in ("number", "recipients", "subject", "text")} for mail in mails
    ]


def _recipients(demo: Demo) -> Counter[str]:
    return Counter(fact.body["recipient"] for fact in demo.kafka.facts.of(_SENT))


def _outline(fact: Fact) -> dict[str, Any]:
    errors: list[dict[str, str]] = json.loads(fact.headers.get("dl_errors") or "[]")
    return {
        "service": fact.headers.get("dl_service"),
        "topic": fact.headers.get("dl_topic"),
        "partition": fact.headers.get("dl_partition"),
        "offset": fact.headers.get("dl_offset"),
        "key": fact.key,
        "message_id": fact.id,
        "reason": fact.headers.get("dl_reason"),
        "errors": errors,
        "value": fact.value.decode("utf-8", "replace"),
    }
