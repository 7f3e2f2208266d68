"""The catalogue of metrics, as Prometheus reads it."""

import re

import pytest
from opentelemetry import metrics as api
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry import metrics
from unit.shared.http.sample import Issuer, client_of, sample_application

UNITS = {"records", "messages", "seconds", "batches", "pauses", "decisions", "documents", "mails"}


@pytest.fixture(scope="module", autouse=True)
def _provider() -> None:
    if not isinstance(api.get_meter_provider(), MeterProvider):
        metrics.configure_metrics("tests", "tests-1")


def page() -> str:
    return metrics.metrics_page()[0].decode()


def value(name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(page()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return 0.0


def test_gauges_show_the_last_value() -> None:
    metrics.set_lag("psa", 12)
    metrics.set_outbox(3, 1.5)
    assert value("sluice_consumer_lag_records", line="psa") == 12
    assert value("sluice_outbox_size_messages") == 3
    assert value("sluice_outbox_oldest_age_seconds") == 1.5


def test_counters_add_up() -> None:
    for _ in range(2):
        metrics.observe_batch("commands", 5, 0.02, 1)
        metrics.count_duplicates("commands", 2)
        metrics.count_not_taken("commands")
        metrics.count_pause("commands")
        metrics.count_published(7)
        metrics.count_release_decision("released", count=10)
        metrics.count_release_decision("refused", "cap_exceeded")
        metrics.count_documents("sales_invoice", "validated", 4)
        metrics.count_mails("sent")
    assert value("sluice_dead_letter_records_total", line="commands") == 2
    assert value("sluice_inbox_duplicate_messages_total", line="commands") == 4
    assert value("sluice_not_taken_batches_total", line="commands") == 2
    assert value("sluice_line_pauses_total", line="commands") == 2
    assert value("sluice_published_messages_total") == 14
    assert value("sluice_release_decisions_total", outcome="released", code="") == 20
    assert value("sluice_release_decisions_total", outcome="refused", code="cap_exceeded") == 2
    assert value("sluice_documents_total", kind="sales_invoice", status="validated") == 8
    assert value("sluice_mails_total", outcome="sent") == 2
    assert value("sluice_batch_size_records_sum", line="commands") == 10
    assert value("sluice_batch_duration_seconds_count", line="commands") == 2
    assert value("sluice_batch_duration_seconds_bucket", line="commands", le="0.025") == 2
    assert value("sluice_batch_duration_seconds_bucket", line="commands", le="0.01") == 0


def test_every_name_ends_with_its_unit() -> None:
    metrics.set_lag("psa", 1)
    names = re.findall(r"^# TYPE (sluice_\S+) ", page(), re.MULTILINE)
    assert len(names) >= 1
    for name in names:
        assert name.removesuffix("_total").rpartition("_")[2] in UNITS, name


async def test_requests_are_measured_by_route_and_not_by_what_is_asked() -> None:
    issuer = Issuer()
    issuer.add_key("one")
    async with client_of(sample_application(issuer), issuer.token()) as client:
        await client.get("/notes/N1")
        await client.get("/notes/N2")
        text = (await client.get("/metrics")).text
    assert 'http_route="/notes/{note_id}"' in text
    assert "http_server_request_duration_seconds_bucket" in text
    assert "N1" not in text
