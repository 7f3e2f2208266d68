"""P7 and P8: how many documents per second of one core become XML and PDF, beside what the libraries alone can do.

Measured in processor time; ours and the limit take turns, and no document comes twice, since Typst remembers what it
has set.
"""

import datetime
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from lxml import etree

from accounting_connector.domain.companies import Address, Party
from accounting_connector.domain.documents import Document, DocumentLine, DocumentStatus
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.tax import ZERO_RATED, Tax, tax_totals
from accounting_connector.rendering import pdf
from accounting_connector.rendering.model import Rendering, rendering_of
from accounting_connector.rendering.ubl import ubl_of
from shared.money import exact_product, exact_sum, round_to_minor_unit
from sluice.benchmarks.figures import Figure, Goal, Measured, Result

XML_PER_SECOND_MIN: Final = 1_000
PDF_PER_SECOND_MIN: Final = 150
XML_DOCUMENTS: Final = 2_000
PDF_DOCUMENTS: Final = 300

_XML_LINES: Final = 20
_PDF_LINES: Final = 10
_WARM_UP_DOCUMENTS: Final = 10
_CURRENCY: Final = "GBP"
_DATE: Final = datetime.date(2026, 11, 20)
_STANDARD: Final = Tax("S", Decimal(20))
_SELLER: Final = Party(
    "C-UK", "Survey Ltd", "GB987654321", Address("2 Mill Lane", "Unit 4", "Leeds", None, "LS1 1AA", "GB")
)
_BUYER: Final = Party(
    "A-1", "Port Authority", "GB123456789", Address("1 Quay", None, "Hull", None, "HU1 1AA", "GB")
)

_Tree = tuple[str, dict[str, str], str | None, list["_Tree"]]
_Work = Callable[[], object]


def measure_xml(documents: int = XML_DOCUMENTS) -> Result:
    """P7: XML of 20 lines, beside bare lxml building of the same tree."""

    def bare(made: Rendering) -> _Work:
        root = etree.fromstring(ubl_of(made))
        tree, names = _tree_of(root), dict(root.nsmap)
        return lambda: _build(tree, names)

    return _measure(
        "P7",
        "XML of a document",
        f"{documents:,} documents of {_XML_LINES} lines, each beside the bare building of the same tree by lxml.",
        _pairs(documents, _XML_LINES),
        ours=lambda made: lambda: ubl_of(made),
        bare=bare,
        limit_what="bare lxml builds the same trees",
        goal=Goal(XML_PER_SECOND_MIN),
    )


def measure_pdf(documents: int = PDF_DOCUMENTS) -> Result:
    """P8: PDF of 10 lines with its XML attached, beside a bare Typst compile of the same pages."""

    def bare(made: Rendering) -> _Work:
        data = pdf.data_of(made)
        return lambda: pdf.compile_pages(data, made.date, has_many_pages=False)

    return _measure(
        "P8",
        "PDF of a document",
        f"{documents:,} documents of {_PDF_LINES} lines with their XML, beside as many bare compiles by Typst.",
        _pairs(documents, _PDF_LINES),
        ours=lambda made: lambda: pdf.pdf_of(made),
        bare=bare,
        limit_what="Typst compiles the same pages from data that lies ready",
        goal=Goal(PDF_PER_SECOND_MIN),
    )


def _measure(
    code: str,
    title: str,
    how: str,
    documents: Iterator[tuple[Rendering, Rendering]],
    *,
    ours: Callable[[Rendering], _Work],
    bare: Callable[[Rendering], _Work],
    limit_what: str,
    goal: Goal,
) -> Result:
    began = time.perf_counter()
    ours_seconds = bare_seconds = 0.0
    count = 0
    for place, (one, other) in enumerate(documents):
        ours_once, bare_once = _seconds(ours(one)), _seconds(bare(other))
        if place >= _WARM_UP_DOCUMENTS:
            ours_seconds += ours_once
            bare_seconds += bare_once
            count += 1
    figure = Figure(title, count / ours_seconds, "documents/s per core", count / bare_seconds, limit_what)
    return Result(
        code=code,
        title=title,
        how=how,
        measured=(Measured(figure, (goal,)),),
        elapsed_seconds=time.perf_counter() - began,
        seconds_by_process={"driver": ours_seconds + bare_seconds},
    )


def _seconds(work: _Work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _pairs(count: int, lines: int) -> Iterator[tuple[Rendering, Rendering]]:
    """Pairs of documents, all different."""
    for place in range(count + _WARM_UP_DOCUMENTS):
        yield _rendering(2 * place, lines), _rendering(2 * place + 1, lines)


def _rendering(place: int, line_count: int) -> Rendering:
    taxed = [_line(place, each) for each in range(line_count)]
    taxes = tax_totals(((tax, line.amount) for line, tax in taxed), _CURRENCY)
    net, tax = exact_sum(line.amount for line, _ in taxed), exact_sum(total.tax for total in taxes)
    document = Document(
        document_id=f"D-{place}",
        kind=DocumentKind.SALES_INVOICE,
        status=DocumentStatus.VALIDATED,
        number=f"SIN-2026-{place:06}",
        date=_DATE,
        due_date=_DATE + datetime.timedelta(days=30),
        currency=_CURRENCY,
        billing_event_currency=_CURRENCY,
        account=_BUYER,
        company=_SELLER,
        engagement="ENG-7",
        customer_reference="PO 4711",
        billing_event_ids=(f"BE-{place}",),
        billing_run_id=None,
        lines=tuple(line for line, _ in taxed),
        taxes=taxes,
        total_net=net,
        total_tax=tax,
        total_gross=exact_sum((net, tax)),
        excluded_items=(),
        corrects_document_id=None,
        mirrors_document_id=None,
        collection_date=None,
        payment_days=30,
    )
    return rendering_of(document, today=_DATE)


def _line(document: int, place: int) -> tuple[DocumentLine, Tax]:
    quantity, price = Decimal("7.5"), Decimal(f"{100 + (document + place) % 900}.25")
    tax = ZERO_RATED if place % 5 == 0 else _STANDARD
    line = DocumentLine(
        line_id=f"D-{document}.{place}",
        billing_event_id=f"BE-{document}",
        billing_event_item_id=f"BE-{document}-I-{place}",
        description=f"Survey day {document}-{place}, harbour bridge, with two engineers",
        product="Consulting",
        quantity=quantity,
        unit_price=price,
        amount=round_to_minor_unit(exact_product(quantity, price), _CURRENCY),
        tax_category=tax.category,
        tax_rate=tax.rate,
    )
    return line, tax


def _tree_of(element: "etree._Element") -> _Tree:
    attributes = {str(name): str(value) for name, value in element.attrib.items()}
    return str(element.tag), attributes, element.text, [_tree_of(child) for child in element]


def _build(tree: _Tree, names: dict[str | None, str]) -> bytes:
    tag, attributes, _, children = tree
    root = etree.Element(tag, attributes, nsmap=names)
    for child in children:
        _add(root, child)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _add(parent: "etree._Element", tree: _Tree) -> None:
    tag, attributes, text, children = tree
    element = etree.SubElement(parent, tag, attributes)
    element.text = text
    for child in children:
        _add(element, child)
