"""Documents of every kind that the accounting connector can make, for the judges and the tests of rendering."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from accounting_connector.domain.companies import Address, Party
from accounting_connector.domain.documents import Document, DocumentLine, DocumentStatus
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.tax import Tax, tax_totals
from accounting_connector.rendering.model import PrecedingDocument, Rendering, rendering_of
from shared.money import exact_product, exact_sum, round_to_minor_unit

TODAY: Final = datetime.date(2026, 11, 20)
INVOICE: Final = DocumentKind.SALES_INVOICE
CREDIT_NOTE: Final = DocumentKind.SALES_CREDIT_NOTE

STANDARD: Final = Tax("S", Decimal(20))
ZERO_RATED: Final = Tax("Z", Decimal(0))
EXEMPT: Final = Tax("E", Decimal(0), "Article 132(1)(i) of the VAT directive")
REVERSE_CHARGE: Final = Tax("AE", Decimal(0))
EXPORT: Final = Tax("G", Decimal(0))
NOT_SUBJECT: Final = Tax("O", Decimal(0))

SELLER: Final = Party(
    "C-UK", "Survey Ltd", "GB987654321", Address("2 Mill Lane", "Unit 4", "Leeds", None, "LS1 1AA", "GB")
)
BUYER: Final = Party(
    "A-1", "Port Authority", "GB123456789", Address("1 Quay", None, "Hull", "Yorkshire", "HU1 1AA", "GB")
)
PRECEDING: Final = PrecedingDocument("SIN-2026-000007", datetime.date(2026, 10, 1))


def line(
    unit_price: str = "100.00",
    quantity: str = "1",
    tax: Tax = STANDARD,
    currency: str = "GBP",
    **changes: Any,
) -> tuple[DocumentLine, Tax]:
    """A line whose amount is its price times its quantity, with its tax."""
    price, count = Decimal(unit_price), Decimal(quantity)
    values: dict[str, Any] = {
        "line_id": "D-1.1",
        "billing_event_id": "BE-1",
        "billing_event_item_id": "BEI-1",
        "description": "Survey day",
        "product": "Consulting",
        "quantity": count,
        "unit_price": price,
        "amount": round_to_minor_unit(exact_product(price, count), currency),
        "tax_category": tax.category,
        "tax_rate": tax.rate,
    }
    return DocumentLine(**{**values, **changes}), tax


def document(*lines: tuple[DocumentLine, Tax], **changes: Any) -> Document:
    """A validated document of these lines (one, if none is given), with the taxes and totals that follow."""
    currency = changes.get("currency", "GBP")
    taxed: Sequence[tuple[DocumentLine, Tax]] = lines or (line(currency=currency),)
    taxes = tax_totals(((tax, each.amount) for each, tax in taxed), currency)
    net, tax = exact_sum(each.amount for each, _ in taxed), exact_sum(total.tax for total in taxes)
    values: dict[str, Any] = {
        "document_id": "D-1",
        "kind": INVOICE,
        "status": DocumentStatus.VALIDATED,
        "number": "SIN-2026-000123",
        "date": TODAY,
        "due_date": TODAY + datetime.timedelta(days=30),
        "currency": currency,
        "billing_event_currency": currency,
        "account": BUYER,
        "company": SELLER,
        "engagement": "ENG-7",
        "customer_reference": "PO 4711",
        "billing_event_ids": ("BE-1",),
        "billing_run_id": None,
        "lines": tuple(each for each, _ in taxed),
        "taxes": taxes,
        "total_net": net,
        "total_tax": tax,
        "total_gross": exact_sum((net, tax)),
        "excluded_items": (),
        "corrects_document_id": None,
        "mirrors_document_id": None,
        "collection_date": None,
        "payment_days": 30,
    }
    return Document(**{**values, **changes})


def rendering(*lines: tuple[DocumentLine, Tax], **changes: Any) -> Rendering:
    """What the files of such a document are made from."""
    made = document(*lines, **changes)
    names_another = made.corrects_document_id is not None or made.mirrors_document_id is not None
    return rendering_of(made, today=TODAY, preceding=PRECEDING if names_another else None)


def seller(**changes: Any) -> Party:
    """The selling company, changed."""
    return dataclasses.replace(SELLER, **changes)


def buyer(**changes: Any) -> Party:
    """The buying account, changed."""
    return dataclasses.replace(BUYER, **changes)


def _unlike_texts() -> Rendering:
    return rendering(
        line(product="ייעוץ", description="יום מדידה בגשר הנמל (2 מהנדסים)"),
        line(product="استشارات", description="يوم مسح في جسر الميناء"),
        line(product="咨询服务", description="港口大桥测量日 コンサルティング 컨설팅"),
        line(product="Σύμβουλος", description="Обследование моста, ทดสอบ, परामर्श"),
        account=buyer(name="شركة الموانئ", address=Address("רחוב הנמל 1", None, "חיפה", None, "33031", "IL")),
    )


def _forbidden_texts() -> Rendering:
    hostile = "a\x01b\x0bc\ufffed & <b>\"']]>&#0; \U0001f600 {x} #y *z* $w$\r\n\tend"
    return rendering(
        line(product=hostile, description=hostile * 20),
        account=buyer(name=hostile, address=Address(hostile, hostile, hostile, hostile, hostile, "GB")),
        engagement=hostile,
        customer_reference=hostile,
    )


CASES: Final[Mapping[str, Callable[[], Rendering]]] = {
    "one line": rendering,
    "a thousand lines": lambda: rendering(*(line(f"{place}.01", "1.5") for place in range(1, 1001))),
    "credit note": lambda: rendering(kind=CREDIT_NOTE, number="SCN-2026-000001"),
    "correction": lambda: rendering(kind=CREDIT_NOTE, corrects_document_id="D-0"),
    "correcting invoice": lambda: rendering(corrects_document_id="D-0"),
    "mirror": lambda: rendering(kind=CREDIT_NOTE, mirrors_document_id="D-0", corrects_document_id="D-0"),
    "draft": lambda: rendering(status=DocumentStatus.DRAFT, number="DRAFT-D-1"),
    "draft without date": lambda: rendering(
        status=DocumentStatus.DRAFT, number="DRAFT-D-1", date=None, due_date=None
    ),
    "draft credit note": lambda: rendering(
        status=DocumentStatus.DRAFT, number="DRAFT-D-1", kind=CREDIT_NOTE, date=None, due_date=None
    ),
    "negative price": lambda: rendering(line("300.00"), line("-100.00", "0.5")),
    "negative quantity": lambda: rendering(line("300.00"), line("100.00", "-0.5")),
    "negative price on a credit note": lambda: rendering(line("300.00"), line("-100.00"), kind=CREDIT_NOTE),
    "several rates": lambda: rendering(
        line(), line(tax=Tax("S", Decimal("5.5"))), line(tax=Tax("S", Decimal("7.70"))), line(tax=ZERO_RATED)
    ),
    "a category below zero": lambda: rendering(line("1000.00", tax=ZERO_RATED), line("-33.33")),
    "zero rated": lambda: rendering(line(tax=ZERO_RATED)),
    "exempt": lambda: rendering(line(tax=EXEMPT)),
    "exempt without a reason": lambda: rendering(line(tax=Tax("E", Decimal("0.00")))),
    "reverse charge": lambda: rendering(line(tax=REVERSE_CHARGE)),
    "export": lambda: rendering(line(tax=EXPORT)),
    "Canaries": lambda: rendering(line(tax=Tax("L", Decimal(7))), line(tax=Tax("L", Decimal(0)))),
    "Ceuta": lambda: rendering(line(tax=Tax("M", Decimal(4)))),
    "not subject": lambda: rendering(line(tax=NOT_SUBJECT), company=seller(tax_id=None)),
    "not subject, with tax ids": lambda: rendering(line(tax=NOT_SUBJECT), kind=CREDIT_NOTE),
    "all taxes that can stand together": lambda: rendering(
        *(line("33.33", tax=tax) for tax in (STANDARD, ZERO_RATED, EXEMPT, REVERSE_CHARGE, EXPORT))
    ),
    "no decimals": lambda: rendering(line("333", "1.5", currency="JPY"), currency="JPY"),
    "total below zero": lambda: rendering(line("110.00", tax=ZERO_RATED), line("-100.00")),
    "credit note of a total below zero": lambda: rendering(
        line("110.00", tax=ZERO_RATED), line("-100.00"), kind=CREDIT_NOTE
    ),
    "total of zero": lambda: rendering(line("100.00"), line("-100.00")),
    "tiny price": lambda: rendering(line("0.000001", "1000000.5")),
    "huge amounts": lambda: rendering(line("499999999999999.99"), line("499999999999999.99")),
    "fraction of a percent": lambda: rendering(line("100.00", tax=Tax("S", Decimal("0.4")))),
    "bare addresses": lambda: rendering(
        account=buyer(tax_id=None, address=Address(country="XI")),
        company=seller(address=Address(country="XK")),
    ),
    "tax id of no country": lambda: rendering(
        company=seller(tax_id="98 765 4321"), account=buyer(tax_id="1")
    ),
    "Greek tax id": lambda: rendering(account=buyer(tax_id="el 123 456 789")),
    "without texts": lambda: rendering(
        line(description=" ", product=""), engagement=None, customer_reference=" ", number="SIN-2026-000001"
    ),
    "long texts": lambda: rendering(
        line(description="long " * 2_000, product="p" * 500),
        line(description="x" * 10_000),
        account=buyer(
            name="n" * 500, address=Address("s" * 500, "t" * 500, "c" * 500, "r" * 500, "9" * 500, "GB")
        ),
        customer_reference="r" * 500,
        engagement="e" * 500,
    ),
    "many events": lambda: rendering(billing_event_ids=tuple(f"BE-{place}" for place in range(300))),
    "texts of the world": _unlike_texts,
    "forbidden characters": _forbidden_texts,
}
"""Everything that can be written to EN 16931, by what is special about it."""
