"""What the notifier answers (contract.md section 2)."""

from typing import Any, Final

from contract.http.shapes import (
    PROBLEM,
    Each,
    Filled,
    Optional,
    anything,
    count,
    flag,
    has_shape,
    identifier,
    instant,
    one_of,
    text,
)
from support.seeding import Seeded

ALERT: Final = {
    "alert_id": identifier,
    "kind": text,
    "title": text,
    "link": text,
    "read": flag,
    "read_at": Optional(instant),
    "created_at": instant,
}


async def call(seeded: Seeded, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    async with seeded.system.client("notifier") as client:
        response = await client.request(method, path, json=body)
    assert response.status_code == status, response.text
    return response.json()


async def test_alerts(seeded: Seeded) -> None:
    page = await call(seeded, "GET", "/alerts?unread=true")
    has_shape(page, {"items": Filled(ALERT | {"read": False}), "next_cursor": None, "unread_count": count})
    assert page["unread_count"] == len(page["items"])
    alert_id = page["items"][-1]["alert_id"]
    read = await call(seeded, "POST", f"/alerts/{alert_id}/read")
    has_shape(read, ALERT | {"alert_id": alert_id, "read": True, "read_at": instant})
    assert (await call(seeded, "GET", "/alerts"))["unread_count"] == page["unread_count"] - 1


async def test_a_delivery_that_has_not_failed_is_not_sent_again(seeded: Seeded) -> None:
    delivery = {"delivery_id": identifier, "recipient": text, "status": one_of("queued", "sent", "failed")}
    page = await call(seeded, "GET", "/deliveries?status=queued")
    has_shape(page, {"items": Filled(delivery | {"attempts": count}), "next_cursor": None})
    path = f"/deliveries/{page['items'][0]['delivery_id']}/resend"
    has_shape(await call(seeded, "POST", path, status=409), PROBLEM | {"code": "action_not_available"})


async def test_preferences(seeded: Seeded) -> None:
    has_shape(seeded.answers["preferences"], {"channels": Each(anything)})
    has_shape(
        await call(seeded, "GET", "/preferences"), {"channels": {"process_run_ended": ["in_app", "mail"]}}
    )


async def test_an_unknown_id(seeded: Seeded) -> None:
    for path in ("/alerts/NONE/read", "/deliveries/NONE/resend"):
        has_shape(await call(seeded, "POST", path, status=404), PROBLEM | {"code": "not_found"})
