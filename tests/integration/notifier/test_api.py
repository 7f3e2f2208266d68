"""Alerts, deliveries and preferences over HTTP (contract.md section 2)."""

import pytest

from integration.notifier.driver import JOB, PROCESS_RUN, THRESHOLD, NotifierDriver, dead_letter, fact
from integration.notifier.http import Api
from integration.notifier.mail_server import MailServer
from notifier.domain.kinds import Kind
from shared.http.routes import routes_without_scope, scopes_of
from unit.shared.http.sample import Issuer


@pytest.fixture
def api(notifier: NotifierDriver) -> Api:
    issuer = Issuer()
    issuer.add_key("one")
    return Api(notifier, issuer)


async def test_alerts_are_ones_own(notifier: NotifierDriver, api: Api) -> None:
    await notifier.take(fact(PROCESS_RUN), fact(JOB, job_id="J-2", starter={"user_id": "u2", "email": None}))
    async with api.client() as client:
        answer = (await client.get("/alerts")).json()
    (alert,) = answer["items"]
    assert answer["unread_count"] == 1
    assert answer["next_cursor"] is None
    assert alert["kind"] == "process_run_ended"
    assert alert["cause_id"] == "process-run/PR-1/ended"
    assert alert["counts"] == {"invoices": 1, "credit_notes": 0, "not_passed": 1}
    assert alert["totals"] == {"GBP": {"invoices": "100.00", "credit_notes": "0.00"}}
    assert alert["reasons"] == ["BE-2: Over the cap."]
    assert alert["link"] == "http://sluice.example/pages/process-runs/PR-1"
    assert (alert["read"], alert["read_at"]) == (False, None)
    async with api.client(sub="u2", email=None) as client:
        (alert,) = (await client.get("/alerts")).json()["items"]
        assert alert["cause_id"] == "release-job/J-2/ended"
    async with api.client(sub="u3", email=None) as client:
        assert (await client.get("/alerts")).json() == {"items": [], "next_cursor": None, "unread_count": 0}


async def test_who_is_named_by_their_address_finds_the_alert_by_it(
    notifier: NotifierDriver, api: Api
) -> None:
    await notifier.take(fact(THRESHOLD, starter=None))
    await notifier.take_dead_letters(dead_letter())
    async with api.client(sub="anybody", email="PM@Example.com") as client:
        (alert,) = (await client.get("/alerts")).json()["items"]
        assert alert["kind"] == "cap_threshold_crossed"
    async with api.client(sub="operator", email="ops@example.com") as client:
        (alert,) = (await client.get("/alerts")).json()["items"]
        assert (alert["kind"], alert["counts"]) == ("dead_letters", {"dead_letters": 1})


async def test_alerts_come_in_pages_the_newest_first(notifier: NotifierDriver, api: Api) -> None:
    for number in range(5):
        await notifier.take(fact(JOB, job_id=f"J-{number}"))
    seen, cursor = [], ""
    async with api.client() as client:
        while True:
            page = (
                await client.get("/alerts", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
            ).json()
            assert len(page["items"]) <= 2
            assert page["unread_count"] == 5
            seen += [item["cause_id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert seen == [f"release-job/J-{number}/ended" for number in reversed(range(5))]


async def test_an_alert_is_read_once_and_by_its_owner(notifier: NotifierDriver, api: Api) -> None:
    await notifier.take(fact(JOB, job_id="J-1"), fact(JOB, job_id="J-2"))
    async with api.client() as client:
        first, second = (await client.get("/alerts")).json()["items"]
        read = await client.post(f"/alerts/{first['alert_id']}/read")
        assert (read.status_code, read.json()["read"]) == (200, True)
        again = await client.post(f"/alerts/{first['alert_id']}/read")
        assert again.json() == read.json()
        unread = (await client.get("/alerts", params={"unread": "true"})).json()
        assert [item["alert_id"] for item in unread["items"]] == [second["alert_id"]]
        assert unread["unread_count"] == 1
        others = (await client.get("/alerts", params={"unread": "false"})).json()
        assert [item["alert_id"] for item in others["items"]] == [first["alert_id"]]
        missing = await client.post("/alerts/nothing/read")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    async with api.client(sub="u2", email=None) as client:
        assert (await client.post(f"/alerts/{second['alert_id']}/read")).status_code == 404
    assert len([alert for alert in await notifier.alerts() if alert["read_at"] is None]) == 1


async def test_deliveries_are_listed_by_status_and_failed_ones_sent_again(
    notifier: NotifierDriver, mail_server: MailServer, api: Api
) -> None:
    mail_server.refused = {"u1@example.com"}
    await notifier.take(fact(PROCESS_RUN))
    await notifier.send_due()
    async with api.client() as client:
        everything = (await client.get("/deliveries")).json()["items"]
        assert sorted((item["recipient"], item["status"]) for item in everything) == [
            ("a@example.com", "sent"),
            ("u1@example.com", "failed"),
        ]
        (failed,) = (await client.get("/deliveries", params={"status": "failed"})).json()["items"]
        assert (failed["attempts"], failed["error"]) == (1, "550 5.1.1 no such user")
        path = f"/deliveries/{failed['delivery_id']}/resend"
        mail_server.refused = set()
        first = await client.post(path, headers={"Idempotency-Key": "k-1"})
        assert (first.status_code, first.json()["status"], first.json()["attempts"]) == (202, "queued", 0)
        repeated = await client.post(path, headers={"Idempotency-Key": "k-1"})
        assert (repeated.status_code, repeated.json()) == (202, first.json())
        refused = await client.post(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "action_not_available")
        await notifier.send_due()
        assert mail_server.recipients == ["a@example.com", "u1@example.com"]
        assert (await client.get("/deliveries", params={"status": "failed"})).json()["items"] == []
        missing = await client.post("/deliveries/nothing/resend")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        assert (await client.get("/deliveries", params={"status": "lost"})).status_code == 422
    assert [word for word, _ in await notifier.published()].count("sent") == 2


async def test_preferences_are_chosen_read_and_kept_to(notifier: NotifierDriver, api: Api) -> None:
    async with api.client("") as client:
        before = (await client.get("/preferences")).json()["channels"]
        assert set(before) == set(Kind)
        assert set(before.values()) == {None}
        chosen = {"process_run_ended": ["in_app"], "release_stage_failed": [], "dead_letters": None}
        answer = await client.put("/preferences", json={"channels": chosen})
        after = before | chosen
        assert (answer.status_code, answer.json()) == (200, {"channels": after})
        assert (await client.get("/preferences")).json() == {"channels": after}
        assert (await client.put("/preferences", json={"channels": after})).json() == {"channels": after}
    await notifier.take(fact(PROCESS_RUN, additional_recipients=[]), fact(JOB))
    assert await notifier.told() == (["user:u1"], [])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"channels": {"no_such_kind": ["mail"]}},
        {"channels": {"dead_letters": ["pigeon"]}},
        {"channels": {"dead_letters": "mail"}},
        {"channels": {}, "surplus": 1},
        [],
    ],
)
async def test_preferences_that_cannot_be_kept_are_refused(api: Api, body: object) -> None:
    async with api.client("") as client:
        answer = await client.put("/preferences", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_each_call_names_its_scope(api: Api) -> None:
    assert routes_without_scope(api.application) == []
    assert scopes_of(api.application) == {
        ("GET", "/alerts"): {"alerts:read"},
        ("GET", "/alerts/stream"): {"alerts:read"},
        ("POST", "/alerts/{alert_id}/read"): {"alerts:read"},
        ("GET", "/deliveries"): {"alerts:read"},
        ("POST", "/deliveries/{delivery_id}/resend"): {"alerts:write"},
        ("GET", "/preferences"): set(),
        ("PUT", "/preferences"): set(),
    }


async def test_resending_needs_its_own_scope(api: Api) -> None:
    async with api.client("alerts:read") as client:
        assert (await client.post("/deliveries/x/resend")).status_code == 403
    async with api.client("alerts:write") as client:
        assert (await client.get("/alerts")).status_code == 403
