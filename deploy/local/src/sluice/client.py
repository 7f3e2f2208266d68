"""Calls of the services' HTTP, with a token (contract.md section 2)."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Self

import httpx
import typer

from sluice.services import service_named
from sluice.state import State, StateError, state_of
from sluice.tokens import SCOPES, address_of, make_token

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The folder with the system's state; without it the last one started."),
]
UserOption = Annotated[str, typer.Option("--user", help="In whose name.")]

_REQUEST_SECONDS_MAX: Final = 120.0
_DATA: Final = "data: "


class CallError(RuntimeError):
    """A service could not be reached, or said no; `problem` is its answer (RFC 9457), if it gave one."""

    def __init__(self, sentence: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.problem = problem


class ServiceClient:
    """Calls one service. A context manager."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_REQUEST_SECONDS_MAX,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The answer to a GET; query values that are None are left out. Raises CallError."""
        return self._call("GET", path, params={k: v for k, v in (query or {}).items() if v is not None})

    def get_bytes(self, path: str) -> bytes:
        """The file that a GET answers with. Raises CallError."""
        return self._answer("GET", path).content

    def post(self, path: str, body: Any) -> Any:
        """The answer to a POST. Raises CallError."""
        return self._call("POST", path, json=body)

    def put(self, path: str, body: Any) -> Any:
        """The answer to a PUT. Raises CallError."""
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        """The answer to a PATCH. Raises CallError."""
        return self._call("PATCH", path, json=body)

    def items(self, path: str, query: Mapping[str, Any], *, items_max: int) -> list[dict[str, Any]]:
        """At most this many items of a list, page by page. Raises CallError."""
        found: list[dict[str, Any]] = []
        cursor = None
        while len(found) < items_max:
            page = self.get(path, {**query, "limit": min(items_max - len(found), 200), "cursor": cursor})
            found += page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                break
        return found

    def events(self, path: str) -> Iterator[Any]:
        """What a stream of server-sent events tells, parsed, until the stream ends. Raises CallError."""
        try:
            with self._http.stream("GET", path) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal("GET", path, answer)
                for line in answer.iter_lines():
                    if line.startswith(_DATA):
                        yield json.loads(line.removeprefix(_DATA))
        except httpx.HTTPError as error:
            raise CallError(f"{self._http.base_url} cannot be reached: {error}") from error

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._answer(method, path, **options)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise CallError(f"{self._http.base_url} cannot be reached: {error}") from error
        if answer.is_success:
            return answer
        raise _refusal(method, path, answer)


def _refusal(method: str, path: str, answer: httpx.Response) -> CallError:
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        return CallError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    return CallError(f"{method} {path}: {answer.status_code} {_sentence(problem)}", problem)


def _sentence(problem: Mapping[str, Any]) -> str:
    reasons = "; ".join(f"{r.get('code')}: {r.get('message')}" for r in problem.get("reasons") or [])
    said = problem.get("detail") or problem.get("title") or ""
    fields = "; ".join(f"{e.get('field')} {e.get('message')}" for e in problem.get("errors") or [])
    return reasons or ": ".join(filter(None, [f"{problem.get('code', '')} {said}".strip(), fields]))


def connect(service: str, data: Path | None, user: str) -> ServiceClient:
    """A client of the service of a system on this machine, or of the one that the environment names.

    With `SLUICE_TOKEN` set, the token is that one and the address `SLUICE_<SERVICE>_URL`; else both come from the
    system's state. Raises StateError if there is no such system.
    """
    token = os.environ.get("SLUICE_TOKEN")
    module = service_named(service).module
    if token:
        variable = f"SLUICE_{module.upper()}_URL"
        url = os.environ.get(variable)
        if not url:
            raise StateError(f"SLUICE_TOKEN is set, so {variable} must say where the service answers")
        return ServiceClient(url, token)
    state = state_of(data)
    return ServiceClient(str(state.summary()[module]), _own_token(state, user))


def _own_token(state: State, user: str) -> str:
    return make_token(state, user=user, email=address_of(user), scopes=SCOPES)
