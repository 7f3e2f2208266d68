"""Several events on one document, and the threshold (domain.md section 5, settings)."""

from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pytest

from accounting_connector.domain.assessment import Assessment, assess
from accounting_connector.domain.documents import as_original, draft_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.grouping import Grouping, Threshold, group_for_documents, threshold_reason
from accounting_connector.domain.mappings import make_mapping
from accounting_connector.domain.tax import Tax, TaxRule
from accounting_connector.facts import document_body
from accounting_connector.store.documents import StoredDocument
from shared.contracts.decoding import VALUE_BYTES_MAX

TERMS = Terms()


def assessed(make: Any, event_id: str, amounts: list[str], account: str = "A-1", **event: Any) -> Assessment:
    items = [make.item(f"{event_id}-{n}", amount) for n, amount in enumerate(amounts)]
    given = make.event(*items, billing_event_id=event_id, **event)
    rules = (TaxRule(None, None, Tax("S", Decimal(20))),)
    company = make.company(tax_rules=rules, mappings=(make_mapping("batch", source="billing_event_id"),))
    assessment = assess(make.candidate(given, account=make.account(id=account), company=company), TERMS)
    assert assessment.reasons == ()
    return assessment


def event_ids(groups: Any) -> list[list[str]]:
    return [[member.candidate.event.billing_event_id for member in group] for group in groups]


def test_by_account_company_currency_and_sign_and_never_netted(make: Any) -> None:
    euros = {"currency": "EUR", "billing_event_currency": "EUR"}
    given = [
        assessed(make, "BE-1", ["10.00"]),
        assessed(make, "BE-2", ["-3.00"]),
        assessed(make, "BE-3", ["5.00"], account="A-2"),
        assessed(make, "BE-4", ["7.00"], **euros),
        assessed(make, "BE-5", ["1.00", "2.00"]),
        assessed(make, "BE-6", ["-1.00"]),
    ]
    groups = group_for_documents(given, Grouping.ACCOUNT, 1000)
    assert event_ids(groups) == [["BE-1", "BE-5"], ["BE-2", "BE-6"], ["BE-3"], ["BE-4"]]
    each = group_for_documents(given, Grouping.BILLING_EVENT, 1000)
    assert event_ids(each) == [[f"BE-{n}"] for n in range(1, 7)]
    invoice, credit_note, *_ = [
        draft_document(f"D-{n}", group, TERMS, invoice_date=date(2026, 11, 30))
        for n, group in enumerate(groups)
    ]
    assert (invoice.kind.value, invoice.total_net) == ("sales_invoice", Decimal("13.00"))
    assert (credit_note.kind.value, credit_note.total_net) == ("sales_credit_note", Decimal("4.00"))
    assert invoice.billing_event_ids == ("BE-1", "BE-5")
    assert [line.billing_event_id for line in invoice.lines] == ["BE-1", "BE-5", "BE-5"]
    assert len({line.line_id for line in invoice.lines}) == 3


def test_what_documents_leave_out_stays_within_what_their_readers_take(make: Any) -> None:
    """Of the longest ids and criteria, by one event with many such items, and by many events."""
    many = 11_000
    long = "x" * 70
    company = make.company(item_criteria=(make.criterion(f'description != "{"y" * 900}"'),))

    def leaving_out(event_id: str, count: int) -> Assessment:
        items = [
            make.item(f"{long}{n}", description="y" * 900 if n else "", business_record_id=f"{long}{n}")
            for n in range(count + 1)
        ]
        given = make.event(*items, billing_event_id=event_id)
        return assess(make.candidate(given, company=company), TERMS)

    one = [leaving_out(f"{long}1", many)]
    small = [leaving_out(f"{long}{n}", 2_000) for n in range(4)]
    assert [len(group) for group in group_for_documents(small, Grouping.ACCOUNT, 1_000)] == [2, 2]
    for group in group_for_documents([*one, *small], Grouping.ACCOUNT, 1_000):
        document = draft_document("D-1", group, TERMS, invoice_date=None)
        body = document_body(StoredDocument(document, None, None))
        assert len(body["left_out_items"]) == len(document.left_out_items) > 0
        assert len(orjson.dumps(body)) < VALUE_BYTES_MAX


def test_events_of_two_accounts_that_are_mapped_to_one_stay_apart(make: Any) -> None:
    head_office = make.account(id="A-9")
    company = make.company(mappings=(make_mapping("account", source="fields.bill_to"),))
    given = []
    for event_id, own in (("BE-1", "A-1"), ("BE-2", "A-2"), ("BE-3", "A-1")):
        event = make.event(billing_event_id=event_id, account_id=own, fields={"bill_to": "A-9"})
        candidate = make.candidate(event, account=make.account(id=own), company=company)
        given.append(assess(candidate, TERMS, lambda _: [head_office]))
    assert [assessment.reasons for assessment in given] == [()] * 3
    groups = group_for_documents(given, Grouping.ACCOUNT, 1000)
    assert event_ids(groups) == [["BE-1", "BE-3"], ["BE-2"]]
    documents = [draft_document("D", group, TERMS, invoice_date=None) for group in groups]
    assert {document.account.id for document in documents} == {"A-9"}


def test_tax_is_rounded_once_over_all_events_of_a_document(make: Any) -> None:
    given = [assessed(make, f"BE-{n}", ["0.33"]) for n in range(3)]
    (group,) = group_for_documents(given, Grouping.ACCOUNT, 1000)
    document = draft_document("D-1", group, TERMS, invoice_date=None)
    assert [(total.taxable, total.tax) for total in document.taxes] == [(Decimal("0.99"), Decimal("0.20"))]


def test_over_the_line_limit_further_documents_are_begun_by_whole_events(make: Any) -> None:
    given = [assessed(make, f"BE-{n}", ["1.00"] * lines) for n, lines in enumerate([2, 1, 2, 3, 1])]
    groups = group_for_documents(given, Grouping.ACCOUNT, 3)
    assert event_ids(groups) == [["BE-0", "BE-1"], ["BE-2"], ["BE-3"], ["BE-4"]]


def test_groups_that_events_to_come_could_join_are_left_out(make: Any) -> None:
    given = [
        assessed(make, f"BE-{n}", ["1.00", "2.00"], account=f"A-{account}")
        for n, account in enumerate((1, 1, 1, 2))
    ]
    full = group_for_documents(given, Grouping.ACCOUNT, 4, more_follow=True)
    assert event_ids(full) == [["BE-0", "BE-1"]]
    # Where no group is full, none can wait: the run would never go on.
    alone = group_for_documents(given[:1], Grouping.ACCOUNT, 4, more_follow=True)
    assert event_ids(alone) == [["BE-0"]]


def test_fields_are_set_only_where_all_events_agree(make: Any) -> None:
    given = [
        assessed(make, "BE-1", ["1.00"], engagement="ENG-7", customer_reference="PO 1"),
        assessed(make, "BE-2", ["1.00"], engagement="ENG-7", customer_reference="PO 2"),
    ]
    document = draft_document("D-1", given, TERMS, invoice_date=None)
    assert (document.engagement, document.customer_reference) == ("ENG-7", None)
    assert document.additional_fields == {}
    alone = draft_document("D-2", given[:1], TERMS, invoice_date=None)
    assert alone.additional_fields == {"batch": "BE-1"}


@pytest.mark.parametrize(
    "amount, groups", [("-1.00", [["BE-1"], ["BE-2"], ["BE-3"]]), ("1.00", [["BE-1", "BE-3"], ["BE-2"]])]
)
def test_a_correction_is_on_its_own(make: Any, amount: str, groups: list[list[str]]) -> None:
    """What only names a document stands with what names the same."""
    first = assess(make.candidate(make.event()), TERMS)
    given = []
    for event_id, corrected in (("BE-1", "D-8"), ("BE-2", "D-9"), ("BE-3", "D-8")):
        original = as_original(draft_document(corrected, [first], TERMS, invoice_date=None))
        event = make.event(
            make.item(amount=amount), billing_event_id=event_id, corrects_billing_event_id="BE-0"
        )
        given.append(assess(make.candidate(event, original=original), TERMS))
    found = group_for_documents(given, Grouping.ACCOUNT, 1000)
    assert event_ids(found) == groups
    for group in found:
        document = draft_document("D", group, TERMS, invoice_date=None)
        names = {"BE-2": "D-9"}.get(document.billing_event_ids[0], "D-8")
        assert (document.corrects_document_id or document.supplements_document_id) == names


@pytest.mark.parametrize(
    "amount, threshold, below",
    [
        ("9.99", Threshold(Decimal(10), "GBP"), True),
        ("10.00", Threshold(Decimal(10), "GBP"), False),
        ("9.99", Threshold(Decimal(10), "EUR"), False),
        ("-9.99", Threshold(Decimal(10), "GBP"), False),
        ("9.99", None, False),
    ],
)
def test_an_invoice_strictly_below_the_threshold_is_not_made(
    make: Any, amount: str, threshold: Threshold | None, below: bool
) -> None:
    document = draft_document("D-1", [assessed(make, "BE-1", [amount])], TERMS, invoice_date=None)
    reason = threshold_reason(document, threshold)
    assert (reason is not None and reason.code == "below_threshold") is below
    if reason is not None:
        assert reason.detail["account_id"] == "A-1"
