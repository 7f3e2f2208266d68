"""Every PDF that Sluice makes is PDF/A-3b, as veraPDF sees it."""

from pathlib import Path

import pytest

from accounting_connector.rendering.pdf import pdf_of
from judges.archived_pages import PageJudge
from judges.documents import CASES, line, rendering


def test_the_judge_accepts_every_kind(page_judge: PageJudge, tmp_path: Path) -> None:
    made = {f"{place}.pdf": name for place, name in enumerate(CASES)}
    # What has no XML has pages all the same.
    documents = [each() for each in CASES.values()]
    documents.append(rendering(line("1.234", currency="KWD"), currency="KWD"))
    made[f"{len(CASES)}.pdf"] = "three decimals"
    files = []
    for name, document in zip(made, documents, strict=True):
        files.append(tmp_path / name)
        files[-1].write_bytes(pdf_of(document))
    failures = page_judge.failures(files)
    assert {made[name]: found for name, found in failures.items() if found} == {}
    assert len(failures) == len(CASES) + 1


@pytest.mark.parametrize(
    ("there", "instead", "clause"),
    [
        (b"/AFRelationship/Alternative", b"/AFRelationshiq/Alternative", "6.8-3"),
        (b"<pdfaid:part>3", b"<pdfaid:part>1", "6.6.4-2"),
    ],
)
def test_the_judge_says_no(
    there: bytes, instead: bytes, clause: str, page_judge: PageJudge, tmp_path: Path
) -> None:
    pdf = pdf_of(rendering())
    assert there in pdf
    spoilt = tmp_path / "spoilt.pdf"
    spoilt.write_bytes(pdf.replace(there, instead))
    assert clause in page_judge.failures([spoilt])["spoilt.pdf"]
