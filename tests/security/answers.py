"""How a refusal has to look."""

import json
from typing import Final

import httpx

PROBLEM: Final = "application/problem+json"


def answers_well(response: httpx.Response) -> None:
    """No error of the server's, no success, and a problem that does not quote what was sent."""
    told = f"{response.request.method} {str(response.request.url)[:200]}: {response.status_code}"
    assert response.status_code in {404, 405, 413, 422}, told
    assert response.headers["content-type"] == PROBLEM, told
    body = response.json()
    assert body["status"] == response.status_code
    for word in ("asyncpg", "Traceback", "select ", "syntax error"):
        assert word not in json.dumps(body | {"instance": ""}), told
