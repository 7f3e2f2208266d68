"""What a page says, as plain data: texts ready to be set, so that the template only places them.

A text is a string, or `{"rtl": string}` where it is read from right to left.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from iso3166 import countries_by_alpha2

from accounting_connector.domain.companies import Address, Party
from accounting_connector.domain.documents import DocumentLine
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.tax import TaxTotal
from accounting_connector.rendering.fonts import FONTS, displayable
from accounting_connector.rendering.model import Rendering, long_date
from shared.money import ZERO, exact_sum, format_amount, format_number, minor_unit_digits

Text = str | dict[str, str]
Data = dict[str, object]

_TITLES: Final = {
    DocumentKind.SALES_INVOICE: "Invoice",
    DocumentKind.SALES_CREDIT_NOTE: "Credit note",
}
_CATEGORIES: Final = {
    "S": "Standard rate",
    "Z": "Zero rated",
    "E": "Exempt from tax",
    "AE": "Reverse charge",
    "G": "Export, not taxed",
    "K": "Intra-community supply",
    "L": "IGIC",
    "M": "IPSI",
    "O": "Not subject to tax",
}
_COUNTRIES: Final = {"GB": "United Kingdom", "US": "United States", "XI": "Northern Ireland", "XK": "Kosovo"}
"""Where the name in ISO 3166 is not the one that is used, or the code is not in it."""

_NUMBERS_SHOWN_MAX: Final = 5
"""More billing events than these are counted, not named."""

_PRODUCT_COLUMNS_MAX: Final = 40
"""A longer name of a product does not stand beside the numbers, but below them."""

_CUSTOMER_COLUMNS_MAX: Final = 42
_FACT_COLUMNS_MAX: Final = 44
"""As much of a customer, and of a fact with its label, as stands on one row."""

_TAX_COLUMNS_MAX: Final = 46
"""As much of a tax with its numbers as stands on one row."""

_PARAGRAPH_COLUMNS_MIN: Final = 60
"""A longer text from right to left is a paragraph of its own."""

_UNDIVIDED_LENGTH_MAX: Final = 600
"""A line with more text than this may go on on the next page."""

_ZERO_WIDTH_SPACE: Final = "\u200b"
_FIGURE_SPACE: Final = "\u2007"
_PUNCTUATION_SPACE: Final = "\u2008"
_LONG_WORD: Final = re.compile(r"([^\s\u200b]{20})(?=[^\s\u200b])")
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL"})
_STRONG: Final = frozenset({"L", *_RIGHT_TO_LEFT})


def page_data(rendering: Rendering, attachment: Data | None = None) -> Data:
    """All that the template places, JSON through and through; amounts as they are read, in the document's currency.

    `attachment` is the file that travels with the pages: its `name` and `content`.
    """
    currency = rendering.currency
    buyer, facts = _party(rendering.buyer), [(label, set_text(value)) for label, value in _facts(rendering)]
    numbers = _line_numbers(rendering)
    taxes = _tax_numbers(rendering)
    return {
        "fonts": [font.family for font in FONTS],
        "title": _TITLES[rendering.kind],
        "number": rendering.number,
        "draft": rendering.is_draft,
        "currency": currency,
        "seller": _party(rendering.seller),
        "buyer": buyer,
        "facts": facts,
        "rows_below": _rows_below(buyer, facts),
        "columns": _heads(("Quantity", "Unit price", "Tax", f"Amount {currency}"), numbers),
        "lines": list(_lines(rendering, numbers)),
        "tax_columns": _heads(("Taxable", "Amount"), taxes),
        "taxes": [_tax(tax, columns) for tax, columns in zip(rendering.taxes, taxes, strict=True)],
        "total_net": _amount(rendering.total_net, currency),
        "total_gross": _amount(rendering.total_gross, currency),
        "total_label": _total_label(rendering),
        "terms": list(_terms(rendering)),
        "attachment": attachment,
    }


def set_text(text: str) -> Text:
    """A text as the template sets it: only what the fonts can show, long words divisible, with its direction."""
    shown = displayable(text)
    if len(shown) > 20:
        shown = _LONG_WORD.sub(rf"\1{_ZERO_WIDTH_SPACE}", shown)
    if shown.isascii():
        return shown
    first = next((kind for kind in map(unicodedata.bidirectional, shown) if kind in _STRONG), "L")
    return {"rtl": shown} if first in _RIGHT_TO_LEFT else shown


def _party(party: Party) -> Data:
    return {
        "name": set_text(party.name or party.id),
        "address": [set_text(line) for line in _address_lines(party.address)],
        "tax_id": set_text(party.tax_id) if party.tax_id else None,
    }


def _address_lines(address: Address) -> Iterator[str]:
    town = " ".join(part for part in (address.postcode, address.city) if part)
    yield from (
        line for line in (address.line1, address.line2, town, address.region, _country(address)) if line
    )


def _country(address: Address) -> str | None:
    """The name of the country as letters are addressed to it."""
    code = address.country or ""
    country = countries_by_alpha2.get(code)
    return _COUNTRIES.get(code) or (country.apolitical_name if country else address.country)


def _facts(rendering: Rendering) -> Iterator[tuple[str, str]]:
    yield "Number", rendering.number
    yield "Date", long_date(rendering.date)
    if rendering.kind is DocumentKind.SALES_INVOICE and rendering.asks_for_payment:
        yield "Due date", long_date(rendering.due_date)
    yield "Customer", rendering.buyer.id
    if rendering.preceding is not None:
        yield "Corrects", f"{rendering.preceding.number} of {long_date(rendering.preceding.date)}"
    if rendering.buyer_reference:
        yield "Your reference", rendering.buyer_reference
    if rendering.engagement:
        yield "Engagement", rendering.engagement
    ids = rendering.billing_event_ids
    if len(ids) > _NUMBERS_SHOWN_MAX:
        yield "Billing events", f"{len(ids)}"
    else:
        yield "Billing event" if len(ids) == 1 else "Billing events", ", ".join(ids)


def _total_label(rendering: Rendering) -> str:
    if not rendering.asks_for_payment:
        return "Total"
    return "Total credited" if rendering.kind is DocumentKind.SALES_CREDIT_NOTE else "Total to pay"


def _terms(rendering: Rendering) -> Iterator[str]:
    yield rendering.payment_terms
    is_invoice = rendering.kind is DocumentKind.SALES_INVOICE
    if is_invoice and rendering.asks_for_payment and not rendering.is_draft:
        yield f"Please quote {rendering.number} when paying."


def _rows_below(customer: Mapping[str, Any], facts: Sequence[tuple[str, Text]]) -> int | None:
    """By how many rows the facts are longer than the customer's address; None where a text may not fit on one row."""
    address = [customer["name"], *customer["address"]]
    if any(_columns_of(text) > _CUSTOMER_COLUMNS_MAX for text in address) or any(
        _columns_of(label) + _columns_of(text) > _FACT_COLUMNS_MAX for label, text in facts
    ):
        return None
    return max(0, len(facts) - len(address) - 1 - (customer["tax_id"] is not None))


def _line_numbers(rendering: Rendering) -> list[tuple[str, ...]]:
    """Of each line quantity, unit price, tax rate and amount, filled up to the width of their columns."""
    currency, lines = rendering.currency, rendering.lines
    return list(
        zip(
            _column((_number(line.quantity) for line in lines), digits_min=6),
            _column((_unit_price(line, currency) for line in lines), digits_min=6),
            _column((f"{_number(line.tax_rate)} %" for line in lines), digits_min=2),
            _column((_amount(line.amount, currency) for line in lines), digits_min=8),
            strict=True,
        )
    )


def _tax_numbers(rendering: Rendering) -> list[tuple[str, ...]]:
    """Of each tax the taxable amount and the tax, filled up to the width of their columns."""
    currency, taxes = rendering.currency, rendering.taxes
    return list(
        zip(
            _column((_amount(tax.taxable, currency) for tax in taxes), digits_min=6),
            _column((_amount(tax.tax, currency) for tax in taxes), digits_min=6),
            strict=True,
        )
    )


def _heads(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[tuple[str, str]]:
    """The names of columns, each with a number as wide as the column."""
    return list(zip(names, rows[0], strict=True))


def _lines(rendering: Rendering, numbers: Sequence[tuple[str, ...]]) -> Iterator[Data]:
    """Each line with its numbers, and the sum of the amounts so far."""
    currency, lines = rendering.currency, rendering.lines
    categories = {tax.category for tax in rendering.taxes}
    named = categories - {"S"} if len(categories) > 1 else frozenset[str]()
    places = _column(map(str, range(1, len(lines) + 1)), digits_min=2)
    carried = ZERO
    for line, place, columns in zip(lines, places, numbers, strict=True):
        carried = exact_sum((carried, line.amount))
        category = _CATEGORIES.get(line.tax_category, line.tax_category) if line.tax_category in named else ""
        product, description = set_text(line.product), set_text(_description(line, category))
        stands_beside = _columns_of(product) <= _PRODUCT_COLUMNS_MAX
        texts = [text for text in ("" if stands_beside else product, description) if text]
        apart = next((at for at, text in enumerate(texts) if _is_paragraph(text)), len(texts))
        data: Data = {
            "place": place,
            "product": product if stands_beside else "",
            "below": texts[:apart],
            "numbers": columns,
            "carried": _amount(carried, currency),
        }
        # Few lines need these, and of thousands each entry is felt.
        if texts[apart:]:
            data["paragraphs"] = texts[apart:]
        if len(line.product) + len(line.description) > _UNDIVIDED_LENGTH_MAX:
            data["is_long"] = True
        yield data


def _is_paragraph(text: Text) -> bool:
    """Whether a text has to be set apart: it is read from right to left and may need several rows."""
    return not isinstance(text, str) and _columns_of(text) >= _PARAGRAPH_COLUMNS_MIN


def _columns_of(text: Text) -> int:
    """How wide a text is, roughly, in Latin characters."""
    if not isinstance(text, str):
        text = text["rtl"]
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _description(line: DocumentLine, category: str) -> str:
    """The description where it says more than the product, and the tax category where lines differ in it."""
    own = "" if line.description == line.product else line.description
    return " · ".join(part for part in (own, category) if part)


def _column(numbers: Iterable[str], *, digits_min: int) -> list[str]:
    """Numbers of one width, by blanks that are as wide as a digit or a point: set flush left, they align right."""
    shown = list(numbers)
    marks = [sum(map(number.count, ",.")) for number in shown]
    digits = [len(number) - count for number, count in zip(shown, marks, strict=True)]
    widest_digits, widest_marks = max(*digits, digits_min), max(marks)
    return [
        f"{_FIGURE_SPACE * (widest_digits - digit_count)}{_PUNCTUATION_SPACE * (widest_marks - mark_count)}{number}"
        for number, digit_count, mark_count in zip(shown, digits, marks, strict=True)
    ]


def _tax(tax: TaxTotal, numbers: Sequence[str]) -> Data:
    """A tax with its numbers; `stands_alone`: they do not fit beside its name."""
    name = f"{_CATEGORIES.get(tax.category, tax.category)} {_number(tax.rate)} %"
    return {
        "name": name,
        "below": [set_text(tax.reason)] if tax.reason else [],
        "numbers": numbers,
        "stands_alone": _columns_of(name) + sum(map(len, numbers)) > _TAX_COLUMNS_MAX,
    }


def _amount(amount: Decimal, currency: str) -> str:
    return _grouped(format_amount(amount, currency))


def _unit_price(line: DocumentLine, currency: str) -> str:
    """At least the currency's decimals, and as many more as the price has."""
    digits = minor_unit_digits(currency)
    whole, _, fraction = _number(line.unit_price).partition(".")
    fraction = fraction.ljust(digits, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _number(number: Decimal) -> str:
    text = format_number(number)
    return _grouped(text.rstrip("0").rstrip(".") if "." in text else text)


def _grouped(text: str) -> str:
    """A number with its thousands set apart by commas, and a true minus."""
    whole, point, fraction = text.removeprefix("-").partition(".")
    sign = "\N{MINUS SIGN}" if text.startswith("-") else ""
    return f"{sign}{int(whole):,}{point}{fraction}"
