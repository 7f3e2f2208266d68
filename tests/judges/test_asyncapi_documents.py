"""The published document is AsyncAPI 3, as AsyncAPI's own parser sees it."""

import copy
import json
from pathlib import Path

import pytest

from judges.asyncapi_documents import DocumentJudge, UnavailableError
from shared.contracts.asyncapi import asyncapi_document


@pytest.fixture(scope="module")
def judge() -> DocumentJudge:
    """The parser, where it can be had."""
    try:
        return DocumentJudge()
    except UnavailableError as error:
        pytest.skip(str(error))


def test_the_parser_accepts_the_document_and_refuses_broken_ones(
    judge: DocumentJudge, tmp_path: Path, repository: Path
) -> None:
    good = asyncapi_document()
    dangling, unknown_action = copy.deepcopy(good), copy.deepcopy(good)
    channel = next(iter(dangling["channels"].values()))
    message = next(iter(channel["messages"].values()))
    message["$ref"] = "#/components/messages/nowhere"
    next(iter(unknown_action["operations"].values()))["action"] = "publish"
    files = [repository / "docs" / "contract" / "asyncapi.json"]
    for name, document in (("dangling.json", dangling), ("action.json", unknown_action)):
        files.append(tmp_path / name)
        files[-1].write_text(json.dumps(document), encoding="utf-8")
    errors = judge.errors(files)
    assert errors["asyncapi.json"] == []
    assert "invalid-ref" in errors["dangling.json"]
    assert errors["action.json"] != []
