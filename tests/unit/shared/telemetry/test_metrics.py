"""The catalogue of metrics, as Prometheus reads it."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry import metrics
from support.telemetry import measure
from unit.shared.http.sample import Issuer, client_of, sample_application

UNITS = {
    "records",
    "messages",
    "seconds",
    "batches",
    "pauses",
    "decisions",
    "documents",
    "mails",
    "tries",
    "keys",
    "tasks",
    "differences",
}


@pytest.fixture(autouse=True)
def _measured() -> None:
    measure()


def page() -> str:
    return metrics.metrics_page()[0].decode()


def values() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All values by name and labels. They are the process's: other tests may have counted before."""
    return {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in text_string_to_metric_families(page())
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float:
    return values()[name, frozenset(labels.items())]


def test_gauges_show_the_last_value() -> None:
    metrics.set_lag("psa", 12)
    metrics.set_outbox(3, 1.5)
    metrics.set_book_differences("numbers", 3)
    assert value("sluice_consumer_lag_records", line="psa") == 12
    assert value("sluice_outbox_size_messages") == 3
    assert value("sluice_book_differences", check="numbers") == 3
    assert value("sluice_outbox_oldest_age_seconds") == 1.5


def test_counters_add_up() -> None:
    before = values()
    for _ in range(2):
        metrics.observe_batch("commands", 5, 0.02, 1)
        metrics.count_duplicates("commands", 2)
        metrics.count_not_taken("commands")
        metrics.count_pause("commands")
        metrics.count_own_fault("line commands")
        metrics.set_refused_keys(3)
        metrics.count_published(7)
        metrics.count_release_decision("released", count=10)
        metrics.count_release_decision("refused", "cap_exceeded")
        metrics.count_documents("sales_invoice", "validated", 4)
        metrics.count_mails("sent")
    after = values()

    def growth(name: str, **labels: str) -> float:
        key = name, frozenset(labels.items())
        return after[key] - before.get(key, 0)

    assert growth("sluice_dead_letter_records_total", line="commands") == 2
    assert growth("sluice_inbox_duplicate_messages_total", line="commands") == 4
    assert growth("sluice_not_taken_batches_total", line="commands") == 2
    assert growth("sluice_line_pauses_total", line="commands") == 2
    assert growth("sluice_own_fault_tries_total", place="line commands") == 2
    assert after["sluice_outbox_refused_keys", frozenset()] == 3
    assert growth("sluice_published_messages_total") == 14
    assert growth("sluice_release_decisions_total", outcome="released", code="") == 20
    assert growth("sluice_release_decisions_total", outcome="refused", code="cap_exceeded") == 2
    assert growth("sluice_documents_total", kind="sales_invoice", status="validated") == 8
    assert growth("sluice_mails_total", outcome="sent") == 2
    assert growth("sluice_batch_size_records_sum", line="commands") == 10
    assert growth("sluice_batch_duration_seconds_count", line="commands") == 2
    assert growth("sluice_batch_duration_seconds_bucket", line="commands", le="0.025") == 2
    assert growth("sluice_batch_duration_seconds_bucket", line="commands", le="0.01") == 0


def test_the_counters_of_a_line_are_there_before_they_count() -> None:
    metrics.begin_line("early")
    for name in ("dead_letter_records", "inbox_duplicate_messages", "not_taken_batches", "line_pauses"):
        assert f'sluice_{name}_total{{line="early"}} 0.0' in page()


def test_every_metric_says_what_it_is() -> None:
    metrics.set_lag("psa", 1)
    undescribed = [line for line in page().splitlines() if re.fullmatch(r"# HELP sluice_\S+ *", line)]
    assert undescribed == []


def test_every_name_ends_with_its_unit() -> None:
    metrics.set_lag("psa", 1)
    metrics.set_pending_work("process_run", 1)
    metrics.set_ready("broker", ok=True)
    names = re.findall(r"^# TYPE (sluice_\S+) ", page(), re.MULTILINE)
    assert len(names) >= 1
    for name in set(names) - {"sluice_ready"}:  # the contract's name: yes or no, which has no unit
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
