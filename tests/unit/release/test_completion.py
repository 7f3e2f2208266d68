"""Completing events again as their sources arrive and change (domain.md section 1)."""

from dataclasses import replace
from typing import Any

import pytest

from release.domain.completion import Completion, complete_event, fill_from_sources
from release.domain.events import BillingEvent, RecordKey
from release.domain.services_product import CHAINS
from release.domain.sources import (
    BusinessRecord,
    Companies,
    Company,
    CompanySource,
    KnownSources,
    Project,
    Source,
    find_other_kinds,
    sources_touched_by_company,
)
from release.domain.stages import Stage
from unit.release.builders import make_event, make_item

PROJECT = Project("P-1", "A-1", "C-UK", "EMEA", "Survey", "North", "Consulting", frozenset({"b1"}))
UK = Company("C-UK", frozenset({"GBP"}), frozenset({"EMEA"}), frozenset({"Survey"}), frozenset())
FR = Company("C-FR", frozenset({"EUR", "GBP"}), frozenset(), frozenset(), frozenset())
TIMECARD = BusinessRecord(RecordKey("timecard", "T-i1"), 1, RecordKey("assignment", "AS-1"), None, None)
ASSIGNMENT = BusinessRecord(RecordKey("assignment", "AS-1"), 1, None, "Assigned", None)


def sent_event(*changes: dict[str, Any], **head: Any) -> BillingEvent:
    """An event as PSA sends it, with everything empty that completion fills."""
    items = [
        make_item(
            f"i{number}", "100", **{"services_product": None, "accounting_line_description": None, **change}
        )
        for number, change in enumerate(changes or ({},), start=1)
    ]
    return make_event(
        *items, **{"account_id": None, "company_id": None, "billing_event_currency": None, **head}
    )


def known(
    *records: BusinessRecord, project: Project | None = PROJECT, companies: tuple[Company, ...] = (UK, FR)
) -> KnownSources:
    by_key = {record.key: record for record in records}
    named = {RecordKey(kind, record_id) for _, record_id in by_key for kind in CHAINS}
    return KnownSources(project, Companies.of(companies), by_key, find_other_kinds(named, records))


def complete(
    event: BillingEvent, sources: KnownSources, company_source: CompanySource = CompanySource.PROJECT
) -> Completion:
    return complete_event(event, sources, company_source)


def test_an_event_waits_for_its_project_and_says_so_first() -> None:
    completion = complete(sent_event({}, {"budget_id": "b9"}), known(project=None))
    assert completion.event.stage is Stage.INCOMPLETE
    assert [str(source) for source in completion.waits_for] == [
        "project P-1",
        "timecard T-i1",
        "timecard T-i2",
    ]
    assert completion.missing == ()
    assert completion.event.filled == {}


def test_an_event_waits_for_a_budget_that_its_project_does_not_have() -> None:
    event = sent_event({"services_product": "Own", "budget_id": "b9"})
    waiting = complete(event, known())
    assert waiting.waits_for == (Source("budget", "b9"),)
    assert Source("project", "P-1") in waiting.sources
    arrived = complete(waiting.event, known(project=replace(PROJECT, budget_ids=frozenset({"b1", "b9"}))))
    assert arrived.event.stage is Stage.AWAITING_RELEASE
    dropped = complete(arrived.event, known(project=replace(PROJECT, budget_ids=frozenset())))
    assert dropped.event.stage is Stage.INCOMPLETE


def test_a_milestone_item_waits_for_its_name_though_it_has_a_product() -> None:
    event = sent_event({"services_product": "Own", "category": "milestone", "business_record_id": "M-1"})
    waiting = complete(event, known())
    assert waiting.waits_for == (Source("milestone", "M-1"),)
    assert waiting.event.items[0].accounting_line_description is None
    milestone = BusinessRecord(RecordKey("milestone", "M-1"), 1, None, "Other", "Phase 1")
    arrived = complete(waiting.event, known(milestone)).event
    assert arrived.items[0].accounting_line_description == "Phase 1"
    assert (arrived.items[0].services_product, arrived.items[0].services_product_from) == ("Own", None)
    nameless = complete(arrived, known(replace(milestone, name=None))).event
    assert nameless.items[0].accounting_line_description == "Work i1"


def test_an_item_of_another_category_than_its_records_kind_completes_along_the_records_chain() -> None:
    expense = BusinessRecord(RecordKey("expense", "T-i1"), 1, RecordKey("expense_report", "ER-1"), None, None)
    report = BusinessRecord(RecordKey("expense_report", "ER-1"), 1, None, "Travel", None)
    completion = complete(sent_event(), known(expense, report))
    (item,) = completion.event.items
    assert (completion.event.stage, completion.waits_for) == (Stage.AWAITING_RELEASE, ())
    assert (item.services_product, item.services_product_from) == ("Travel", "expense_report")
    assert completion.event.mismatched_item_ids == ["i1"]
    cured = complete(completion.event, known(expense, report, replace(TIMECARD, version=2), ASSIGNMENT)).event
    assert (cured.mismatched_item_ids, cured.items[0].services_product) == ([], "Assigned")


@pytest.mark.parametrize(
    ("timecard_version", "expense_version", "is_mismatch"),
    [(None, 1, True), (1, 1, False), (1, 2, True), (2, 1, False)],
)
def test_the_latest_version_of_a_record_says_what_it_is(
    timecard_version: int | None, expense_version: int, is_mismatch: bool
) -> None:
    records = [BusinessRecord(RecordKey("expense", "T-i1"), expense_version, None, "Travel", None)]
    if timecard_version is not None:
        records.append(replace(TIMECARD, version=timecard_version, parent=None))
    completed = complete(sent_event(), known(*records)).event
    assert completed.items[0].category_mismatch is is_mismatch


def test_a_milestone_item_of_another_record_has_its_own_description() -> None:
    completed = complete(sent_event({"category": "milestone"}), known(TIMECARD, ASSIGNMENT)).event
    assert completed.stage is Stage.AWAITING_RELEASE
    assert completed.items[0].accounting_line_description == "Work i1"


def test_a_generated_adjustment_is_never_a_mismatch() -> None:
    expense = BusinessRecord(RecordKey("expense", "T-i1"), 1, None, "Travel", None)
    event = sent_event({"adjusts_item_id": "i0", "services_product": "Own"})
    assert complete(event, known(expense)).event.mismatched_item_ids == []


def test_a_parent_outside_the_chain_is_not_waited_for() -> None:
    record = BusinessRecord(
        RecordKey("miscellaneous_adjustment", "MA-1"), 1, RecordKey("milestone", "M-1"), None, None
    )
    event = sent_event({"category": "miscellaneous_adjustment", "business_record_id": "MA-1"})
    completion = complete(event, known(record))
    assert completion.waits_for == ()
    assert completion.event.items[0].services_product_from == "project"


def test_parents_that_name_each_other_do_not_go_round() -> None:
    backwards = replace(ASSIGNMENT, parent=TIMECARD.key, services_product=None)
    completion = complete(sent_event(), known(TIMECARD, backwards))
    assert completion.event.items[0].services_product_from == "project"


def test_completing_again_changes_nothing_when_nothing_changed() -> None:
    first = complete(sent_event(), known(TIMECARD, ASSIGNMENT))
    assert complete(first.event, known(TIMECARD, ASSIGNMENT)) == first


def test_what_was_filled_follows_later_versions_of_its_source() -> None:
    first = complete(sent_event(), known(TIMECARD, ASSIGNMENT)).event
    changed_project = replace(PROJECT, account_id="A-2", company_id="C-FR")
    later = complete(
        first, known(TIMECARD, replace(ASSIGNMENT, services_product="Changed"), project=changed_project)
    )
    assert (later.event.account_id, later.event.company_id) == ("A-2", "C-FR")
    assert later.event.items[0].services_product == "Changed"
    emptied_project = replace(PROJECT, account_id=None, company_id=None, services_product=None)
    emptied = complete(
        first, known(TIMECARD, replace(ASSIGNMENT, services_product=None), project=emptied_project)
    )
    assert emptied.missing == ("account", "company", "currency", "services_product")
    assert emptied.event.filled == {}
    assert emptied.event.items[0].services_product_from is None


def test_what_psa_sent_or_somebody_filled_stays() -> None:
    event = replace(
        sent_event({"services_product": "By hand", "services_product_from": "user"}, account_id="A-9"),
        company_id="C-FR",
        filled={"company_id": "user"},
    )
    completed = complete(event, known(TIMECARD, ASSIGNMENT)).event
    assert (completed.account_id, completed.company_id, completed.billing_event_currency) == (
        "A-9",
        "C-FR",
        "GBP",
    )
    assert completed.filled == {"company_id": "user", "billing_event_currency": "company"}
    assert (completed.items[0].services_product, completed.items[0].services_product_from) == (
        "By hand",
        "user",
    )


def test_a_billing_event_currency_that_psa_sent_stands() -> None:
    event = sent_event({"services_product": "Own"}, billing_event_currency="EUR")
    completion = complete(event, known())
    assert completion.event.billing_event_currency == "EUR"
    assert "billing_event_currency" not in completion.event.filled


def test_a_company_that_is_not_known_yet_gives_no_currency_until_it_arrives() -> None:
    event = sent_event({"services_product": "Own"})
    before = complete(event, known(companies=()))
    assert before.event.company_id == "C-UK"
    assert before.missing == ("currency",)
    assert Source("company", "C-UK") in before.sources
    assert complete(before.event, known()).missing == ()


@pytest.mark.parametrize(
    ("company_source", "place"),
    [
        (CompanySource.REGION, Source("region", "EMEA")),
        (CompanySource.PRACTICE, Source("practice", "Survey")),
    ],
)
def test_the_place_that_names_the_company_is_a_source(company_source: CompanySource, place: Source) -> None:
    completion = complete(sent_event({"services_product": "Own"}), known(), company_source)
    assert completion.event.filled["company_id"] == company_source.value
    assert completion.sources == {Source("project", "P-1"), place, Source("company", "C-UK")}
    assert place in sources_touched_by_company(None, UK)
    assert place in sources_touched_by_company(UK, replace(UK, regions=frozenset(), practices=frozenset()))


def test_sources_are_all_records_that_were_asked() -> None:
    completion = complete(sent_event({}, {}), known(TIMECARD, ASSIGNMENT))
    assert completion.sources == {
        Source("project", "P-1"),
        Source("company", "C-UK"),
        Source("timecard", "T-i1"),
        Source("assignment", "AS-1"),
        Source("timecard", "T-i2"),
    }
    assert completion.waits_for == (Source("timecard", "T-i2"),)


def test_a_queued_event_stays_queued_when_it_is_completed_again() -> None:
    event = replace(sent_event({"services_product": "Own"}), stage=Stage.QUEUED)
    assert complete(event, known()).event.stage is Stage.QUEUED


def test_a_generated_adjustment_waits_for_no_record() -> None:
    event = sent_event({"category": "miscellaneous_adjustment", "adjusts_item_id": "i0"})
    completion = complete(event, known())
    assert completion.waits_for == ()
    assert completion.event.items[0].services_product == "Consulting"


def test_on_a_released_event_a_source_fills_only_what_is_empty() -> None:
    event = replace(
        sent_event({}, {"services_product": "Old", "services_product_from": "timecard"}),
        stage=Stage.RELEASED,
        account_id="A-old",
        filled={"account_id": "project"},
    )
    filled = fill_from_sources(event, known(TIMECARD, ASSIGNMENT), CompanySource.PROJECT)
    assert (filled.account_id, filled.company_id, filled.billing_event_currency) == ("A-old", "C-UK", "GBP")
    assert [item.services_product for item in filled.items] == ["Assigned", "Old"]
    assert filled.filled == {
        "account_id": "project",
        "company_id": "project",
        "billing_event_currency": "company",
    }
    assert filled.stage is Stage.RELEASED
    assert (
        fill_from_sources(filled, known(project=replace(PROJECT, account_id="A-2")), CompanySource.PROJECT)
        is filled
    )
