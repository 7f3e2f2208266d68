"""Dashboards and alerts are valid, and ask for metrics and labels that the services really have."""

import re
from pathlib import Path

import httpx
import pytest

from judges.monitoring import Asked, alert_rules, panels, read_expression
from shared.telemetry import metrics
from support.telemetry import measure
from unit.shared.http.sample import Issuer, client_of, sample_application

OF_THE_SCRAPE = {"service", "instance", "job"}
"""Labels that Prometheus puts on whatever it scrapes (deploy/grafana/prometheus.yaml)."""


@pytest.fixture(scope="module")
async def exposed() -> dict[str, set[str]]:
    """The labels of every metric that a service exposes, by the metric's name."""
    measure()
    metrics.begin_line("psa")
    metrics.set_lag("psa", 1)
    metrics.set_ready("broker", ok=True)
    metrics.set_outbox(1, 1.0)
    metrics.set_refused_keys(0)
    metrics.observe_batch("psa", 1, 0.1, 0)
    metrics.count_published(1)
    metrics.count_release_decision("released")
    metrics.count_documents("sales_invoice", "validated")
    metrics.count_mails("sent")
    metrics.set_book_differences("numbers", 0)
    metrics.set_pending_work("process_run", 0)
    issuer = Issuer()
    issuer.add_key("one")
    async with client_of(sample_application(issuer), issuer.token()) as client:
        await client.get("/notes/N1")
        page: httpx.Response = await client.get("/metrics")
    found: dict[str, set[str]] = {"up": set()}
    for line in page.text.splitlines():
        sample = re.match(r"([a-z_]+)(?:\{(.*)\})? ", line)
        if sample is not None:
            found.setdefault(sample[1], set()).update(re.findall(r"([a-z_]+)=\"", sample[2] or ""))
    return found


@pytest.fixture(scope="module")
def asked(repository: Path) -> list[Asked]:
    """All that the dashboards and the alert rules ask for."""
    folder = repository / "deploy" / "grafana"
    rules = [read_expression(rule["alert"], rule["expr"]) for rule in alert_rules(folder / "alerts.yaml")]
    targets = [
        read_expression(panel["title"], target["expr"].replace("$service", ".+"))
        for path in sorted((folder / "dashboards").glob("*.json"))
        for panel in panels(path)
        for target in panel["targets"]
    ]
    return rules + targets


def unknown(asked: Asked, exposed: dict[str, set[str]]) -> set[str]:
    """What of it no service has."""
    labels = set().union(OF_THE_SCRAPE, *(exposed.get(name, set()) for name in asked.metrics))
    return {*(asked.metrics - set(exposed)), *(asked.labels - labels)}


def test_all_that_is_asked_for_is_there(asked: list[Asked], exposed: dict[str, set[str]]) -> None:
    assert {each.place: found for each in asked if (found := unknown(each, exposed))} == {}


def test_everything_of_our_own_is_shown_or_watched(asked: list[Asked], exposed: dict[str, set[str]]) -> None:
    named = set().union(*(each.metrics for each in asked))
    families = {re.sub("(_bucket|_sum|_count)$", "", name) for name in named}
    own = {re.sub("(_bucket|_sum|_count)$", "", name) for name in exposed if name.startswith("sluice_")}
    assert own - families <= {"sluice_published_messages_total"}


def test_a_rule_says_how_urgent_it_is_and_what_to_do(repository: Path) -> None:
    rules = alert_rules(repository / "deploy" / "grafana" / "alerts.yaml")
    assert len({rule["alert"] for rule in rules}) == len(rules) > 0
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
        by = read_expression(rule["alert"], rule["expr"]).labels
        named = set(re.findall(r"\$labels\.([a-z_]+)", str(rule["annotations"])))
        assert named <= by | OF_THE_SCRAPE, rule["alert"]


def test_the_panels_of_a_dashboard_do_not_overlap(repository: Path) -> None:
    for path in (repository / "deploy" / "grafana" / "dashboards").glob("*.json"):
        taken = set[tuple[int, int]]()
        for panel in panels(path):
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells
            assert panel["datasource"]["uid"] == "sluice-prometheus"


@pytest.mark.parametrize(
    "expression",
    ["rat(sluice_mails_total[5m])", "sum(rate(sluice_mails_total))", "sum(sluice_mails_total", "x ==="],
)
def test_the_judge_refuses_what_is_no_promql(expression: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_expression("a panel", expression)


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("rate(sluice_mail_total[5m])", {"sluice_mail_total"}),
        ("sum by (colour) (sluice_consumer_lag_records)", {"colour"}),
        ('sluice_consumer_lag_records{code="x"}', {"code"}),
    ],
)
def test_the_judge_knows_what_no_service_has(
    expression: str, wrong: set[str], exposed: dict[str, set[str]]
) -> None:
    assert unknown(read_expression("a panel", expression), exposed) == wrong
