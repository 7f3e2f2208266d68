"""A small service's API and an issuer of tokens, for tests of what every service's API has in common."""

import json
import socket
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fastapi import APIRouter, Path, Query, Request, Response
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.base import Closed, Id, Name
from shared.contracts.decimals import DecimalText
from shared.database.database import Database
from shared.database.unit_of_work import MessageTooLargeError
from shared.http.application import LARGE_BODY_BYTES_MAX, Application, create_application
from shared.http.authorization import require, require_token
from shared.http.health import HealthRegistry
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import Page, PageRequest, pages_by
from shared.http.problems import Problem, not_found
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import Principal, TokenVerifier

ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "sluice"
CANARY: Final = "Zanzibar 1234567.89"

_MAKERS: Final[dict[str, Callable[[], Any]]] = {
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EC": lambda: ec.generate_private_key(ec.SECP256R1()),
    "OKP": ed25519.Ed25519PrivateKey.generate,
}
_TO_JWK: Final[dict[str, Any]] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


class Issuer:
    """Signs tokens and publishes its keys; counts how often it is asked for them."""

    def __init__(self) -> None:
        self.private_keys: dict[str, Any] = {}
        self.published: list[dict[str, Any]] = []
        self.is_away = False
        self.fetched: list[str] = []

    def add_key(self, key_id: str, kind: str = "RSA", **members: Any) -> dict[str, Any]:
        """Make a key pair and publish its public half; returns the published entry."""
        key = _MAKERS[kind]()
        self.private_keys[key_id] = key
        entry: dict[str, Any] = json.loads(_TO_JWK[kind].to_jwk(key.public_key()))
        entry |= {"kid": key_id} | members
        self.published.append(entry)
        return entry

    def token(
        self,
        scope: Any = "notes:read notes:write",
        *,
        key_id: str = "one",
        algorithm: str = "RS256",
        **claims: Any,
    ) -> str:
        """A token; a claim given as None is left out."""
        now = int(time.time())
        complete = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u1",
            "iat": now,
            "exp": now + 300,
            "email": "u1@example.com",
            "scope": scope,
        }
        complete = {name: value for name, value in (complete | claims).items() if value is not None}
        return jwt.encode(complete, self.private_keys[key_id], algorithm, headers={"kid": key_id})

    async def fetch(self, url: str) -> bytes:
        """What the key set's address answers."""
        self.fetched.append(url)
        if self.is_away:
            raise httpx.ConnectError("no route to the issuer")
        if url.endswith("/.well-known/openid-configuration"):
            return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}).encode()
        return json.dumps({"keys": self.published}).encode()


class NewNote(Closed):
    note_id: Id
    text: Name
    amount: Annotated[Decimal, DecimalText(digits_max=18, decimals_max=6)]
    tags: Annotated[list[Id], Field(max_length=5, default_factory=list)]


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    note_id: str
    number: int


def sample_router(database: Database) -> APIRouter:
    """Calls of all kinds."""
    router = APIRouter()

    @router.get("/notes", dependencies=[require("notes:read")])
    async def notes(
        page: Annotated[PageRequest, pages_by(int, str)],
        kind: Annotated[Literal["red", "blue"] | None, Query()] = None,
    ) -> Page[Note]:
        del kind
        first = 0 if page.after is None else int(str(page.after[0])) + 1
        numbers = range(first, min(first + page.limit + 1, 7))
        rows, cursor = page.cut(
            [Note(note_id=f"N{n}", number=n) for n in numbers], lambda r: (r.number, r.note_id)
        )
        return Page(items=list(rows), next_cursor=cursor)

    @router.get("/notes/{note_id}", dependencies=[require("notes:read")])
    async def note(note_id: Annotated[Id, Path()]) -> Note:
        if note_id != "N1":
            raise not_found()
        return Note(note_id=note_id, number=1)

    @router.put("/notes/{note_id}")
    async def put_note(
        note_id: Annotated[Id, Path()], body: NewNote, principal: Annotated[Principal, require("notes:write")]
    ) -> Note:
        del body, principal
        return Note(note_id=note_id, number=1)

    @router.post("/notes", status_code=201, response_model=Note)
    async def make_note(
        request: Request, body: NewNote, principal: Annotated[Principal, require("notes:write")]
    ) -> Response:
        async def act(work: Any) -> Answer:
            if body.text == "refused":
                raise Problem(409, "refused", "Refused", members={"reasons": [{"code": "refused"}]})
            inserted = await work.connection.fetchval(
                "insert into notes (note_id, user_id) values ($1, $2) on conflict do nothing returning true",
                body.note_id,
                principal.user_id,
            )
            if not inserted:
                raise Problem(409, "already_there", "The note is there already")
            return Answer(201, {"note_id": body.note_id, "number": 1}, {"Location": f"/notes/{body.note_id}"})

        return await answer_once(database, request, principal, act)

    @router.post("/jobs", dependencies=[require("notes:write")], max_body_size=LARGE_BODY_BYTES_MAX)
    async def job(body: NewNote) -> Note:
        return Note(note_id=body.note_id, number=2)

    @router.get("/mine")
    async def mine(principal: Annotated[Principal, require_token()]) -> dict[str, str | None]:
        return {"user_id": principal.user_id, "email": principal.email}

    return router


def failing_router() -> APIRouter:
    """Calls that go wrong."""
    router = APIRouter(dependencies=[require("notes:read")])

    @router.get("/broken")
    async def broken() -> Note:
        raise ValueError(f"cannot take {CANARY}")

    @router.get("/too-large")
    async def too_large() -> Note:
        raise MessageTooLargeError(CANARY)

    @router.get("/away")
    async def away() -> Note:
        raise ConnectionError(f"password {CANARY}")

    @router.get("/loose")
    async def loose() -> Note:
        return {"note_id": "N1", "number": 1, "surplus": CANARY}  # type: ignore[return-value]

    return router


def unreached_database() -> Database:
    """A database that nobody has opened."""
    return Database("postgresql://127.0.0.1:1/none", schema="none", application_name="tests")


def sample_application(
    issuer: Issuer, *, database: Database | None = None, routers: list[APIRouter] | None = None
) -> Application:
    """The application of the sample service."""
    database = database or unreached_database()
    return create_application(
        title="Sample",
        version="1.0.0",
        description="For tests",
        routers=[sample_router(database)] if routers is None else routers,
        database=database,
        verifier=TokenVerifier(ISSUER, AUDIENCE, SigningKeys(ISSUER, None, fetch=issuer.fetch)),
        health=HealthRegistry(),
    )


def client_of(application: Any, token: str | None = None) -> httpx.AsyncClient:
    """A client that calls the application directly; whatever escapes from it fails the test."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(application, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


def free_port() -> int:
    """A port of the loopback that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
