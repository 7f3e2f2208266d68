"""Every PDF that Sluice makes is PDF/A-3b, as veraPDF sees it."""

from typing import Final

import pytest

from accounting_connector.rendering.pdf import pdf_of
from judges.archived_pages import PageJudge
from judges.documents import CASES, line, rendering

THREE_DECIMALS: Final = "three decimals"
"""It has no XML, and pages all the same."""

SPOILT: Final = {
    "6.8-3": (b"/AFRelationship/Alternative", b"/AFRelationshiq/Alternative"),
    "6.6.4-2": (b"<pdfaid:part>3", b"<pdfaid:part>1"),
}
"""By the clause that it breaks, what is replaced in a good file, and by what."""


@pytest.fixture(scope="module")
def verdicts(page_judge: PageJudge, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The clauses that each file breaks, by what it is, as the judge says in one run: it starts slowly."""
    made = {name: pdf_of(case()) for name, case in CASES.items()}
    made[THREE_DECIMALS] = pdf_of(rendering(line("1.234", currency="KWD"), currency="KWD"))
    good = pdf_of(rendering())
    for clause, (there, instead) in SPOILT.items():
        assert there in good
        made[clause] = good.replace(there, instead)
    folder = tmp_path_factory.mktemp("pages")
    names = {f"{place}.pdf": name for place, name in enumerate(made)}
    for file_name, name in names.items():
        (folder / file_name).write_bytes(made[name])
    failures = page_judge.failures([folder / file_name for file_name in names])
    return {names[file_name]: clauses for file_name, clauses in failures.items()}


@pytest.mark.parametrize("what", [*CASES, THREE_DECIMALS])
def test_the_judge_accepts_every_kind(verdicts: dict[str, list[str]], what: str) -> None:
    assert verdicts[what] == []


@pytest.mark.parametrize("clause", SPOILT)
def test_the_judge_says_no(verdicts: dict[str, list[str]], clause: str) -> None:
    assert clause in verdicts[clause]
