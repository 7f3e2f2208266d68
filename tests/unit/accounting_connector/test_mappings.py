"""Company mappings: overriding and adding fields, and what must be found exactly once (domain.md section 4)."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from accounting_connector.domain.assessment import Assessment, assess
from accounting_connector.domain.documents import draft_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.mappings import FieldMapping, MappingError, make_mapping


def assessed(make: Any, *mappings: FieldMapping, event: Any = None, find_accounts: Any = None) -> Assessment:
    candidate = make.candidate(event, company=make.company(mappings=mappings))
    return assess(candidate, Terms(), find_accounts or (lambda name: ()))


def document(make: Any, *mappings: FieldMapping, **given: Any) -> Any:
    assessment = assessed(make, *mappings, **given)
    assert assessment.reasons == ()
    return draft_document("D-1", [assessment], Terms(), invoice_date=date(2026, 11, 20))


def failures(assessment: Assessment) -> Any:
    assert [reason.code for reason in assessment.reasons] == ["mapping_failed"]
    return assessment.reasons[0].detail["failures"]


def test_paths_and_static_values_override_and_add_fields(make: Any) -> None:
    event = make.event(make.item("i1", fields={"site": "Dock 4"}), fields={"po": "PO 9", "level": 3})
    made = document(
        make,
        make_mapping("customer_reference", source="fields.po"),
        make_mapping("engagement", value="ENG-X"),
        make_mapping("cost_centre", source="account.name"),
        make_mapping("level", source="level"),
        make_mapping("lines.description", source="fields.site"),
        make_mapping("lines[].site_code", source="item.fields.site"),
        make_mapping("product", value="P-100"),
        make_mapping("lines.project_reference", source="billing_event.fields.po"),
        event=event,
    )
    assert (made.customer_reference, made.engagement) == ("PO 9", "ENG-X")
    assert made.additional_fields == {"cost_centre": "Port Authority", "level": "3"}
    (line,) = made.lines
    assert (line.description, line.product) == ("Dock 4", "P-100")
    assert line.additional_fields == {"site_code": "Dock 4", "project_reference": "PO 9"}


def test_a_line_looks_at_its_item_and_then_at_its_event(make: Any) -> None:
    event = make.event(make.item("i1", fields={"note": "item"}), make.item("i2"), fields={"note": "event"})
    made = document(make, make_mapping("lines.description", source="fields.note"), event=event)
    assert [line.description for line in made.lines] == ["item", "event"]


def test_a_static_null_empties_its_field(make: Any) -> None:
    assert document(make, make_mapping("engagement", value=None)).engagement is None


def test_the_product_of_a_line_is_named_anew_but_taxed_as_the_services_product(make: Any) -> None:
    made = document(make, make_mapping("lines.product", value="4000"))
    assert made.lines[0].product == "4000"


def test_a_path_must_find_exactly_one_value(make: Any) -> None:
    event = make.event(
        make.item("i1", fields={"po": "1"}), make.item("i2", fields={"po": "2"}), fields={"empty": ""}
    )
    mapping = make_mapping("customer_reference", source="items.fields.po")
    (several,) = failures(assessed(make, mapping, event=event))
    assert several == {"target": "customer_reference", "problem": "items.fields.po finds 2 different values"}
    for source in ("fields.absent", "fields.empty", "nowhere.at.all", "currency.code"):
        (none,) = failures(assessed(make, make_mapping("engagement", source=source), event=event))
        assert none["problem"] == f"{source} finds nothing"
    same = make.event(make.item("i1", fields={"po": "1"}), make.item("i2", fields={"po": "1"}))
    assert document(make, mapping, event=same).customer_reference == "1"


def test_every_failing_mapping_and_item_is_named(make: Any) -> None:
    event = make.event(make.item("i1", fields={"code": "x"}), make.item("i2"))
    found = failures(
        assessed(
            make,
            make_mapping("lines.code", source="fields.code"),
            make_mapping("engagement", source="fields.none"),
            event=event,
        )
    )
    assert [(failure["target"], failure.get("item_id")) for failure in found] == [
        ("lines.code", "i2"),
        ("engagement", None),
    ]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_an_account_is_looked_up_and_must_be_found_once(make: Any, count: int) -> None:
    asked: list[str] = []

    def find_accounts(name: str) -> list[Any]:
        asked.append(name)
        return [make.account(id=f"A-{n + 7}") for n in range(count)]

    event = make.event(fields={"bill_to": "Harbour Trust"})
    mapping = make_mapping("account", source="fields.bill_to")
    assessment = assessed(make, mapping, event=event, find_accounts=find_accounts)
    assert asked == ["Harbour Trust"]
    if count == 1:
        made = draft_document("D-1", [assessment], Terms(), invoice_date=None)
        assert made.account.id == "A-7"
    else:
        assert failures(assessment)[0]["problem"] == f"'Harbour Trust' names {count} accounts"


def test_mapped_prices_are_held_against_the_amount_and_turned_on_a_credit_note(make: Any) -> None:
    event = make.event(make.item("i1", "-30.00", fields={"days": "3", "rate": "-10.00", "wrong": "-11.00"}))
    days, rate = (
        make_mapping("quantity", source="fields.days"),
        make_mapping("unit_price", source="fields.rate"),
    )
    (line,) = document(make, days, rate, event=event).lines
    assert (line.quantity, line.unit_price, line.amount) == (Decimal(3), Decimal(10), Decimal(30))
    wrong = assessed(make, days, make_mapping("unit_price", source="fields.wrong"), event=event)
    assert [reason.code for reason in wrong.reasons] == ["rounding_mismatch"]
    text = assessed(make, make_mapping("quantity", source="category"), event=event)
    assert "not a number" in failures(text)[0]["problem"]


@pytest.mark.parametrize(
    "given",
    [
        {"target": "total_net", "value": "1"},
        {"target": "currency", "value": "EUR"},
        {"target": "number", "value": "1"},
        {"target": "lines.amount", "source": "fields.x"},
        {"target": "lines[].tax_rate", "value": "0"},
        {"target": "taxes.rate", "value": "0"},
        {"target": "lines.unit_price", "value": "ten"},
        {"target": "lines.quantity", "value": "1.1234567"},
        {"target": "lines.", "value": "x"},
        {"target": "", "value": "x"},
        {"target": "a b", "value": "x"},
        {"target": "engagement", "source": ""},
        {"target": "engagement", "source": "a..b"},
        {"target": "engagement", "source": ".".join("abcdefghi")},
        {"target": "engagement", "source": "a.b", "value": "x"},
    ],
)
def test_what_cannot_be_mapped_is_refused_when_it_is_set(given: dict[str, str]) -> None:
    with pytest.raises(MappingError):
        make_mapping(**given)
