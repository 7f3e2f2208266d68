"""A document as PDF/A-3b, set by Typst (domain.md section 4, "PDF").

Input reaches the template as JSON data only. As a rule it is one literal in a source that is otherwise always the same:
then Typst keeps what it has made of the template, which data beside the source (`sys.inputs`) would have it forget. No
markup is ever built from input. The template reads no files and has no network; the fonts come with packages.
"""

import datetime
import json
import re
from functools import cache
from importlib.resources import as_file, files
from typing import Final

import typst

from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.rendering.fonts import FONTS
from accounting_connector.rendering.model import NotRenderedError, Rendering
from accounting_connector.rendering.page_texts import page_data
from accounting_connector.rendering.ubl import ubl_of

_TEMPLATE: Final = "document.typ"
_SOURCE: Final = """\
#import "/{template}": sales-document
#sales-document(json(bytes({data})), many: {many})
"""
_LITERAL_LENGTH_MAX: Final = 200_000
"""More data stands beside the source, for a literal is kept several times; then the template's time is not felt."""

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
    data = data_of(rendering)
    if len(rendering.lines) <= _LINES_ON_ONE_PAGE_MAX:
        made = compile_pages(data, rendering.date, has_many_pages=False)
        if _ONE_PAGE.search(made):
            return made
    return compile_pages(data, rendering.date, has_many_pages=True)


def data_of(rendering: Rendering) -> str:
    """What the template is given of a document, as JSON in ASCII."""
    return json.dumps(page_data(rendering, None if rendering.is_draft else _attachment(rendering)))


def compile_pages(data: str, date: datetime.date, *, has_many_pages: bool) -> bytes:
    """The pages, said to be made on this day; only with many of them they show their number and carry sums."""
    many = str(has_many_pages).lower()
    if len(data) > _LITERAL_LENGTH_MAX:
        compiler = _compiler({"data": data})
        source = _SOURCE.format(template=_TEMPLATE, data="sys.inputs.data", many=many)
    else:
        # JSON in ASCII between the quotes of a literal: no other of its characters means anything there.
        literal = data.replace("\\", r"\\").replace('"', r"\"")
        compiler = _lasting_compiler()
        source = _SOURCE.format(template=_TEMPLATE, data=f'"{literal}"', many=many)
    made = compiler.compile(
        source.encode("ascii"),
        format="pdf",
        pdf_standards="a-3b",
        timestamp=datetime.datetime.combine(date, datetime.time(), tzinfo=datetime.UTC),
        pdf_tags=False,
    )
    assert isinstance(made, bytes), "a PDF is one file"
    return made


def _attachment(rendering: Rendering) -> dict[str, object] | None:
    try:
        content = ubl_of(rendering).decode()
    except NotRenderedError:
        return None
    return {"name": _ATTACHMENT_NAMES[rendering.kind], "content": content}


@cache
def _lasting_compiler() -> typst.Compiler:
    """The compiler of this process; it keeps what it has read."""
    return _compiler({})


def _compiler(inputs: dict[str, str]) -> typst.Compiler:
    """A compiler with the template and the fonts."""
    with as_file(files(__package__) / _TEMPLATE) as template:
        return typst.Compiler(
            b"", root=template.parent, font_paths=_fonts(), ignore_system_fonts=True, sys_inputs=inputs
        )


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=False,
        font_paths=sorted({font.path.parent for font in FONTS}),
    )
