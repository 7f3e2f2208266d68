"""Only tokens that the issuer has signed for us count (contract.md section 2)."""

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.http.signing_keys import (
    KEYS_AGE_SECONDS_MAX,
    REFRESH_INTERVAL_SECONDS,
    KeysUnavailableError,
    SigningKeys,
    parse_keys,
)
from shared.http.tokens import InvalidTokenError, Principal, TokenVerifier
from unit.shared.http.sample import AUDIENCE, ISSUER, Issuer


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def keys_of(issuer: Issuer, clock: Clock | None = None) -> SigningKeys:
    return SigningKeys(ISSUER, None, fetch=issuer.fetch, clock=clock or Clock())


def verifier_of(issuer: Issuer, clock: Clock | None = None) -> TokenVerifier:
    return TokenVerifier(ISSUER, AUDIENCE, keys_of(issuer, clock))


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


async def test_a_token_says_who_someone_is_and_what_they_may(issuer: Issuer) -> None:
    token = issuer.token("a:read b:write", projects=["P-1", "P-2"])
    principal = await verifier_of(issuer).verify(token)
    assert principal == Principal(
        "u1", "u1@example.com", frozenset({"a:read", "b:write"}), frozenset({"P-1", "P-2"})
    )


async def test_mail_address_projects_and_scopes_are_optional(issuer: Issuer) -> None:
    principal = await verifier_of(issuer).verify(issuer.token(None, email=None))
    assert principal == Principal("u1", None, frozenset(), None)


async def test_no_projects_is_not_all_projects(issuer: Issuer) -> None:
    assert (await verifier_of(issuer).verify(issuer.token(projects=[]))).projects == frozenset()


@pytest.mark.parametrize(
    "claims", [{"scope": ["a", "b"]}, {"scope": None, "scp": ["a", "b"]}, {"scope": None, "scp": "a b"}]
)
async def test_scopes_may_be_a_list_and_may_be_called_scp(issuer: Issuer, claims: dict[str, Any]) -> None:
    principal = await verifier_of(issuer).verify(issuer.token(**claims))
    assert principal.scopes == {"a", "b"}


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [("RSA", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]), ("EC", ["ES256"]), ("OKP", ["EdDSA"])],
)
async def test_asymmetric_algorithms_are_taken(kind: str, algorithms: list[str]) -> None:
    issuer = Issuer()
    issuer.add_key("one", kind)
    for algorithm in algorithms:
        assert (await verifier_of(issuer).verify(issuer.token(algorithm=algorithm))).user_id == "u1"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": None},
        {"iss": "https://issuer.example/"},
        {"iss": None},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\x00b"},
        {"sub": "x" * 256},
        {"exp": "soon"},
        {"scope": {"a": 1}},
        {"scope": [1]},
        {"projects": "P-1"},
        {"projects": [1]},
        {"email": ["u1@example.com"]},
        {"email": "u1@example.com\r\nBcc: x@example.com"},
    ],
    ids=str,
)
async def test_a_token_with_other_claims_proves_nothing(issuer: Issuer, claims: dict[str, Any]) -> None:
    token = issuer.token(**claims)
    with pytest.raises(InvalidTokenError) as caught:
        await verifier_of(issuer).verify(token)
    assert not caught.value.is_expired


@pytest.mark.parametrize("later", [{"iat": 600, "exp": 900}, {"nbf": 600}], ids=str)
async def test_a_token_of_the_future_proves_nothing_yet(issuer: Issuer, later: dict[str, int]) -> None:
    now = int(time.time())
    claims: dict[str, Any] = {claim: now + seconds for claim, seconds in later.items()}
    token = issuer.token(**claims)
    with pytest.raises(InvalidTokenError) as caught:
        await verifier_of(issuer).verify(token)
    assert not caught.value.is_expired


async def test_an_expired_token_is_refused_as_such_after_the_leeway(issuer: Issuer) -> None:
    verifier, now = verifier_of(issuer), int(time.time())
    assert (await verifier.verify(issuer.token(exp=now - 20))).user_id == "u1"
    with pytest.raises(InvalidTokenError) as caught:
        await verifier.verify(issuer.token(exp=now - 40))
    assert caught.value.is_expired


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(issuer: Issuer) -> None:
    public = issuer.private_keys["one"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    head = unsigned({"alg": "HS256", "kid": "one"}, claims).rpartition(".")[0]
    signature = hmac.digest(pem, head.encode(), "sha256")
    token = head + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS256", 5, None])
async def test_an_unsigned_token_is_refused(issuer: Issuer, algorithm: Any) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(unsigned({"alg": algorithm, "kid": "one"}, claims))


async def test_a_symmetric_key_of_the_issuer_is_never_used(issuer: Issuer) -> None:
    secret = b"a secret that stands in the key set"
    encoded = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    issuer.published.append({"kty": "oct", "kid": "symmetric", "k": encoded, "alg": "HS256"})
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    token = jwt.encode(claims, secret, "HS256", headers={"kid": "symmetric"})
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(token)


async def test_a_key_serves_only_the_algorithm_it_names(issuer: Issuer) -> None:
    issuer.published[0]["alg"] = "PS256"
    assert (await verifier_of(issuer).verify(issuer.token(algorithm="PS256"))).user_id == "u1"
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(issuer.token(algorithm="RS256"))


async def test_a_token_signed_by_someone_else_is_refused(issuer: Issuer) -> None:
    other = Issuer()
    other.add_key("one")
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(other.token())


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_an_altered_token_is_refused(issuer: Issuer, part: int) -> None:
    parts = issuer.token().split(".")
    parts[part] = parts[part][:-4] + ("AAAA" if not parts[part].endswith("AAAA") else "BBBB")
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(".".join(parts))


@pytest.mark.parametrize(
    "token", ["", ".", "a.b.c", "x" * 20_000, unsigned({"alg": "RS256", "kid": 5}, {}), "é.ü.ß"]
)
async def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(token)


async def test_a_token_without_a_key_id_means_the_only_key(issuer: Issuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    token = jwt.encode(claims, issuer.private_keys["one"], "RS256")
    assert (await verifier_of(issuer).verify(token)).user_id == "u1"
    issuer.add_key("two")
    with pytest.raises(InvalidTokenError):
        await verifier_of(issuer).verify(token)


async def test_keys_are_fetched_once(issuer: Issuer) -> None:
    verifier = verifier_of(issuer)
    for _ in range(3):
        await verifier.verify(issuer.token())
    assert issuer.fetched == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/jwks"]


async def test_a_new_key_is_fetched_at_most_every_30_seconds(issuer: Issuer) -> None:
    clock = Clock()
    verifier = TokenVerifier(
        ISSUER, AUDIENCE, SigningKeys(ISSUER, f"{ISSUER}/jwks", fetch=issuer.fetch, clock=clock)
    )
    await verifier.verify(issuer.token())
    issuer.add_key("two")
    for _ in range(3):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(issuer.token(key_id="two"))
    assert len(issuer.fetched) == 1
    clock.seconds += REFRESH_INTERVAL_SECONDS
    assert (await verifier.verify(issuer.token(key_id="two"))).user_id == "u1"
    assert len(issuer.fetched) == 2


async def test_a_withdrawn_key_goes_away_within_the_hour(issuer: Issuer) -> None:
    clock = Clock()
    verifier = verifier_of(issuer, clock)
    old = issuer.token()
    await verifier.verify(old)
    issuer.published.clear()
    issuer.add_key("two")
    clock.seconds += KEYS_AGE_SECONDS_MAX + 1
    with pytest.raises(InvalidTokenError):
        await verifier.verify(old)


async def test_keys_are_kept_while_the_issuer_is_away(issuer: Issuer) -> None:
    clock = Clock()
    verifier = verifier_of(issuer, clock)
    await verifier.verify(issuer.token())
    issuer.is_away = True
    clock.seconds += 10 * KEYS_AGE_SECONDS_MAX
    assert (await verifier.verify(issuer.token())).user_id == "u1"
    await verifier.check_keys()


async def test_without_keys_nothing_can_be_said_until_the_issuer_is_back(issuer: Issuer) -> None:
    clock = Clock()
    verifier = verifier_of(issuer, clock)
    issuer.is_away = True
    with pytest.raises(KeysUnavailableError):
        await verifier.verify(issuer.token())
    with pytest.raises(KeysUnavailableError):
        await verifier.check_keys()
    issuer.is_away = False
    clock.seconds += 2
    assert (await verifier.verify(issuer.token())).user_id == "u1"


async def test_the_configuration_of_another_issuer_is_not_followed(issuer: Issuer) -> None:
    keys = SigningKeys("https://other.example", None, fetch=issuer.fetch)
    with pytest.raises(KeysUnavailableError):
        await keys.find("one")


@pytest.mark.parametrize("address", ["file:///etc/passwd", None, 5])
async def test_a_fetched_configuration_cannot_point_to_files(issuer: Issuer, address: Any) -> None:
    fetched = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return json.dumps({"issuer": ISSUER, "jwks_uri": address}).encode()

    with pytest.raises(KeysUnavailableError):
        await SigningKeys(ISSUER, None, fetch=fetch).find("one")
    assert fetched == [f"{ISSUER}/.well-known/openid-configuration"]


async def test_the_keys_of_one_machine_may_be_in_a_file(issuer: Issuer, tmp_path: Path) -> None:
    path = tmp_path / "key set.json"
    path.write_text(json.dumps({"keys": issuer.published}))
    verifier = TokenVerifier(ISSUER, AUDIENCE, SigningKeys(ISSUER, path.as_uri()))
    assert (await verifier.verify(issuer.token())).user_id == "u1"


def test_unusable_keys_are_passed_over(issuer: Issuer) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    weak_entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(weak)) | {"kid": "weak"}
    good = issuer.published[0]
    entries = [
        weak_entry,
        good | {"kid": "encryption", "use": "enc"},
        good | {"kid": "other algorithm", "alg": "RSA-OAEP"},
        good | {"kid": "symmetric algorithm", "alg": "HS256"},
        good | {"kid": 7},
        {"kty": "EC", "crv": "secp256k1", "kid": "curve"},
        {"kty": "RSA", "kid": "empty"},
        "text",
        good,
    ]
    assert [key.key_id for key in parse_keys(json.dumps({"keys": entries}).encode())] == ["one"]


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys":5}'])
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_keys(document)
