"""P7 and P8: how many documents per second of one core become XML and PDF, beside what the libraries alone can do.

Run as `PYTHONPATH=tests python -m benchmarks.rendering_speed`. Measured in processor time; ours and the limit take
turns, and no document comes twice, since Typst remembers what it has set.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Final

from lxml import etree

from accounting_connector.rendering import pdf
from accounting_connector.rendering.model import Rendering
from accounting_connector.rendering.page_texts import page_data
from accounting_connector.rendering.ubl import ubl_of
from judges.documents import STANDARD, ZERO_RATED, line, rendering
from sluice.benchmarks.figures import Figure, Goal, Measured, Result
from sluice.benchmarks.report import rows

XML_PER_SECOND_MIN: Final = 1_000
PDF_PER_SECOND_MIN: Final = 150

_WARM_UP_DOCUMENTS: Final = 10

_Tree = tuple[str, dict[str, str], str | None, list["_Tree"]]


def measure_xml(documents: int = 2_000) -> Result:
    """P7: XML of 20 lines, beside bare lxml building of the same tree."""

    def bare(made: Rendering) -> Callable[[], object]:
        root = etree.fromstring(ubl_of(made))
        tree, names = _tree_of(root), dict(root.nsmap)
        return lambda: _build(tree, names)

    return _measure(
        "P7",
        "XML of a document",
        f"{documents:,} documents of 20 lines, each beside the bare building of the same tree by lxml.",
        (XML_PER_SECOND_MIN, "bare lxml"),
        _documents(documents, lines=20),
        ours=lambda made: lambda: ubl_of(made),
        bare=bare,
    )


def measure_pdf(documents: int = 300) -> Result:
    """P8: PDF of 10 lines with its XML attached, beside a bare Typst compile of the same pages."""

    def bare(made: Rendering) -> Callable[[], object]:
        inputs = {
            "document": json.dumps(page_data(made)),
            "attachment": ubl_of(made).decode(),
            "attachment_name": "invoice.xml",
            "pages": "one",
        }
        return lambda: pdf._compile(made, inputs)

    return _measure(
        "P8",
        "PDF of a document",
        f"{documents:,} documents of 10 lines with their XML, beside as many bare compiles by Typst.",
        (PDF_PER_SECOND_MIN, "bare Typst compile"),
        _documents(documents, lines=10),
        ours=lambda made: lambda: pdf.pdf_of(made),
        bare=bare,
    )


def _measure(
    code: str,
    title: str,
    how: str,
    goal: tuple[float, str],
    documents: Iterator[tuple[Rendering, Rendering]],
    *,
    ours: Callable[[Rendering], Callable[[], object]],
    bare: Callable[[Rendering], Callable[[], object]],
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
    figure = Figure(title, count / ours_seconds, "documents/s per core", count / bare_seconds, goal[1])
    return Result(
        code=code,
        title=title,
        how=how,
        measured=(Measured(figure, (Goal(goal[0]),)),),
        elapsed_seconds=time.perf_counter() - began,
        seconds_by_process={"this one": ours_seconds + bare_seconds},
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _documents(count: int, *, lines: int) -> Iterator[tuple[Rendering, Rendering]]:
    """Pairs of documents, all different."""
    for place in range(count + _WARM_UP_DOCUMENTS):
        yield _document(2 * place, lines), _document(2 * place + 1, lines)


def _document(place: int, lines: int) -> Rendering:
    return rendering(
        *(
            line(
                f"{100 + (place + each) % 900}.25",
                "7.5",
                description=f"Survey day {place}-{each}, harbour bridge, with two engineers",
                tax=ZERO_RATED if each % 5 == 0 else STANDARD,
            )
            for each in range(lines)
        ),
        number=f"SIN-2026-{place:06}",
    )


def _tree_of(element: etree._Element) -> _Tree:
    attributes = {str(name): str(value) for name, value in element.attrib.items()}
    return str(element.tag), attributes, element.text, [_tree_of(child) for child in element]


def _build(tree: _Tree, names: dict[str | None, str]) -> bytes:
    tag, attributes, _, children = tree
    root = etree.Element(tag, attributes, nsmap=names)
    for child in children:
        _add(root, child)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _add(parent: etree._Element, tree: _Tree) -> None:
    tag, attributes, text, children = tree
    element = etree.SubElement(parent, tag, attributes)
    element.text = text
    for child in children:
        _add(element, child)


if __name__ == "__main__":
    for result in (measure_xml(), measure_pdf()):
        print(json.dumps([result.how, *rows(result)], indent=2, ensure_ascii=False))
