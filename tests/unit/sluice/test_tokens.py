"""Development tokens: what they claim, and who takes them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from sluice.state import State
from sluice.tokens import AUDIENCE, ensure_key, issuer, make_token


def state_in(folder: Path) -> State:
    state = State(folder)
    state.prepare()
    ensure_key(state)
    return state


def read(token: str, state: State) -> dict[str, Any]:
    """Check a token as a service does: signature by the key set, issuer, audience, time."""
    keys = jwt.PyJWKSet.from_dict(json.loads(state.key_set.read_text()))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=issuer(state)
    )
    return claims


def test_a_token_says_who_and_what(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    token = make_token(
        state,
        user="u1",
        email="u1@example.com",
        scopes=["documents:read", "alerts:read"],
        projects=["P-1"],
        expires_after=timedelta(minutes=5),
    )
    claims = read(token, state)
    assert claims["sub"] == "u1"
    assert claims["email"] == "u1@example.com"
    assert claims["scope"] == "documents:read alerts:read"
    assert claims["projects"] == ["P-1"]
    assert claims["exp"] - claims["iat"] == 300


def test_without_projects_there_is_no_such_claim(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    claims = read(make_token(state, user="u1", scopes=["alerts:read"]), state)
    assert "projects" not in claims
    assert "email" not in claims


def test_the_key_outlives_a_restart_and_stays_secret(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    token = make_token(state, user="u1", scopes=[])
    assert read(token, state_in(tmp_path))["sub"] == "u1"
    assert state.signing_key.stat().st_mode & 0o777 == 0o600
    assert "d" not in json.loads(state.key_set.read_text())["keys"][0]


def test_another_systems_token_is_refused(tmp_path: Path) -> None:
    mine, other = state_in(tmp_path / "mine"), state_in(tmp_path / "other")
    token = make_token(other, user="u1", scopes=[])
    with pytest.raises(KeyError):
        read(token, mine)


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    token = make_token(state, user="u1", scopes=[], expires_after=timedelta(seconds=-1))
    with pytest.raises(jwt.ExpiredSignatureError):
        read(token, state)
