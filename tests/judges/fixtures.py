"""The judges, each made once per run, for every folder of tests."""

from collections.abc import Iterator

import pytest
from saxonche import PySaxonProcessor  # type: ignore[import-not-found]

from judges.archived_pages import PageJudge, UnavailableError
from judges.electronic_invoices import Rules, Schemas


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    """The OASIS schemas of UBL 2.1."""
    return Schemas()


@pytest.fixture(scope="session")
def rules() -> Iterator[Rules]:
    """The official rules of EN 16931."""
    with PySaxonProcessor(license=False) as processor:
        yield Rules(processor)


@pytest.fixture(scope="session")
def page_judge() -> PageJudge:
    """veraPDF, where it can be had."""
    try:
        return PageJudge()
    except UnavailableError as error:
        pytest.skip(str(error))
