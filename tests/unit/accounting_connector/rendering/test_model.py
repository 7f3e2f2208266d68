"""What a file of a document is made from."""

import datetime
from decimal import Decimal

import pytest

from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.rendering.model import preceding_document_id, rendering_of
from judges.documents import CREDIT_NOTE, PRECEDING, TODAY, document

DRAFT = {"status": DocumentStatus.DRAFT, "number": "DRAFT-D-1", "date": None, "due_date": None}


def test_a_draft_without_date_shows_the_day_and_what_is_due_from_it() -> None:
    made = rendering_of(document(**DRAFT, payment_days=14), today=datetime.date(2027, 2, 20))
    assert made.is_draft
    assert (made.date, made.due_date) == (datetime.date(2027, 2, 20), datetime.date(2027, 3, 6))


def test_a_draft_keeps_the_date_and_the_collection_date_that_its_run_gave_it() -> None:
    collected = datetime.date(2026, 12, 1)
    made = rendering_of(document(**DRAFT, collection_date=collected), today=TODAY)
    assert made.due_date == collected
    dated = document(**{**DRAFT, "date": datetime.date(2026, 11, 30), "due_date": collected})
    made = rendering_of(dated, today=TODAY)
    assert (made.date, made.due_date) == (datetime.date(2026, 11, 30), collected)


def test_a_validated_document_has_its_own_dates() -> None:
    made = rendering_of(document(), today=datetime.date(2030, 1, 1))
    assert not made.is_draft
    assert (made.date, made.due_date) == (TODAY, datetime.date(2026, 12, 20))


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({}, "Payable within 30 days, by 20 December 2026."),
        ({"due_date": datetime.date(2026, 11, 21)}, "Payable within 1 day, by 21 November 2026."),
        ({"due_date": TODAY}, "Payable by 20 November 2026."),
        ({"due_date": datetime.date(2026, 11, 1)}, "Payable by 1 November 2026."),
        ({"total_gross": Decimal(0)}, "Nothing is to be paid."),
        ({"total_gross": Decimal(-10), "kind": CREDIT_NOTE}, "Nothing is to be paid."),
        ({"kind": CREDIT_NOTE}, "To be set against open invoices, or paid back by 20 December 2026."),
    ],
)
def test_terms_say_when_to_pay(changes: dict[str, object], terms: str) -> None:
    assert rendering_of(document(**changes), today=TODAY).payment_terms == terms


def test_a_mirror_names_what_it_takes_back_before_what_it_corrects() -> None:
    assert preceding_document_id(document()) is None
    assert preceding_document_id(document(corrects_document_id="D-0")) == "D-0"
    assert preceding_document_id(document(corrects_document_id="D-0", mirrors_document_id="D-9")) == "D-9"


def test_the_preceding_document_must_be_given_exactly_where_one_is_named() -> None:
    with pytest.raises(ValueError, match="needs the document that it names"):
        rendering_of(document(corrects_document_id="D-0"), today=TODAY)
    with pytest.raises(ValueError, match="needs the document that it names"):
        rendering_of(document(), today=TODAY, preceding=PRECEDING)
    assert rendering_of(document(corrects_document_id="D-0"), today=TODAY, preceding=PRECEDING).preceding
