"""A document as PDF/A-3b, set by Typst (domain.md section 4, "PDF").

Input reaches the template as JSON data only: no markup is ever built from it. The template reads no files and has no
network; the fonts come with packages.
"""

import datetime
import json
import re
from functools import cache
from importlib.resources import as_file, files
from typing import Final

import typst

from accounting_connector.domain.lines import DocumentKind
from accounting_connector.rendering.fonts import FONTS
from accounting_connector.rendering.model import NotRenderedError, Rendering
from accounting_connector.rendering.page_texts import page_data
from accounting_connector.rendering.ubl import ubl_of

_TEMPLATE: Final = "document.typ"
_LINES_ON_ONE_PAGE_MAX: Final = 24
"""More lines never fit on one page; fewer are tried, since a single page is set twice as fast."""

_ONE_PAGE: Final = re.compile(rb"/Type/Pages/Count 1\b")
_ATTACHMENT_NAMES: Final = {
    DocumentKind.SALES_INVOICE: "invoice.xml",
    DocumentKind.SALES_CREDIT_NOTE: "credit-note.xml",
}


def pdf_of(rendering: Rendering) -> bytes:
    """The document as A4 pages; the same document always gives the same bytes.

    A validated document carries its XML, where it has one (`ubl.ubl_of`); a draft says DRAFT on every page.
    """
    inputs = {"document": json.dumps(page_data(rendering))}
    attachment = None if rendering.is_draft else _attachment(rendering)
    if attachment is not None:
        inputs["attachment"] = attachment.decode()
        inputs["attachment_name"] = _ATTACHMENT_NAMES[rendering.kind]
    if len(rendering.lines) <= _LINES_ON_ONE_PAGE_MAX:
        made = _compile(rendering, {**inputs, "pages": "one"})
        if _ONE_PAGE.search(made):
            return made
    return _compile(rendering, {**inputs, "pages": "many"})


def _compile(rendering: Rendering, inputs: dict[str, str]) -> bytes:
    made = _compiler().compile(
        format="pdf",
        sys_inputs=inputs,
        pdf_standards="a-3b",
        timestamp=datetime.datetime.combine(rendering.date, datetime.time(), tzinfo=datetime.UTC),
        pdf_tags=False,
    )
    assert isinstance(made, bytes), "a PDF is one file"
    return made


def _attachment(rendering: Rendering) -> bytes | None:
    try:
        return ubl_of(rendering)
    except NotRenderedError:
        return None


@cache
def _compiler() -> typst.Compiler:
    """The compiler of this process, with the template and the fonts; it keeps what it has read."""
    fonts = typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=False,
        font_paths=sorted({font.path.parent for font in FONTS}),
    )
    with as_file(files(__package__) / _TEMPLATE) as template:
        return typst.Compiler(template, root=template.parent, font_paths=fonts, ignore_system_fonts=True)
