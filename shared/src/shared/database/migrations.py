"""Plain SQL migrations in dbmate's file format, applied by an administrator to each service's own schema.

A service owns nothing: tables belong to the administrator, and the service's role gets what its migrations grant
(append-only tables get no update and no delete).
"""

import base64
import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg

SHARED_MIGRATIONS: Final = Path(__file__).resolve().parents[3] / "migrations"
_UP: Final = re.compile(r"^-- migrate:up.*$", re.MULTILINE)
_DOWN: Final = re.compile(r"^-- migrate:down.*$", re.MULTILINE)
_TABLE: Final = re.compile(r"^create table (\w+)", re.MULTILINE)
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_LOCK_KEY: Final = 5_190_311
_SCRAM_ITERATIONS: Final = 4_096


class MigrationError(RuntimeError):
    """A migration that cannot be read, or one that was changed after it had been applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its version (`shared/0001_messages`), its upward SQL and the hash of the whole file."""

    version: str
    sql: str
    checksum: str


def read_migrations(folder: Path, prefix: str) -> list[Migration]:
    """The migrations of a folder, in the order of their names. Raises MigrationError for a file in another format."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        up = _UP.search(text)
        if up is None:
            raise MigrationError(f"{path.name}: no '-- migrate:up' line")
        down = _DOWN.search(text)
        migrations.append(
            Migration(
                version=f"{prefix}/{path.stem}",
                sql=text[up.end() : down.start() if down else len(text)],
                checksum=hashlib.sha256(text.encode()).hexdigest(),
            )
        )
    return migrations


def needed_migrations(schema: str) -> list[str]:
    """The versions that the service of a schema, whose sources lie beside its migrations, was written for."""
    found = find_spec(schema)
    if found is None or found.origin is None:
        raise MigrationError(f"there is no service of the schema {schema}")
    folder = Path(found.origin).resolve().parents[2] / "migrations"
    own = read_migrations(folder, schema)
    if not own:
        raise MigrationError(f"there are no migrations beside the sources of {schema}")
    return [each.version for each in (*read_migrations(SHARED_MIGRATIONS, "shared"), *own)]


def role_of(schema: str) -> str:
    """The role that a service signs in with."""
    return f"sluice_{schema}"


def password_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (SCRAM-SHA-256, RFC 5803): it can be checked, and not be read.

    Raises MigrationError for one that is empty or not of printable ASCII characters, which others would be normalised.
    """
    if not password or not (password.isascii() and password.isprintable()):
        raise MigrationError("a password is one or more printable ASCII characters")
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


async def migrate(
    connection: "asyncpg.Connection[Any]", *, schema: str, password: str | None, folder: Path
) -> list[str]:
    """Bring a service's schema up to date, as an administrator; returns the versions that were applied.

    Makes schema and role if they are missing, sets the role's password if one is given, applies the shared
    migrations, then the service's own, each in a transaction, under a lock: several at the same time are safe.
    Raises MigrationError if an applied file has been changed.
    """
    if not _NAME.fullmatch(schema):
        raise MigrationError(f"{schema!r} is not a schema name")
    await connection.execute("select pg_advisory_lock($1)", _LOCK_KEY)
    try:
        await _prepare_schema(connection, schema, password)
        shared = read_migrations(SHARED_MIGRATIONS, "shared")
        applied = await _apply(connection, shared)
        # The kit may do everything with its own tables. What a service may do with the others, its own migrations
        # say, and some are append-only: nothing may be granted on all tables of a schema that has them already.
        tables = ", ".join(name for migration in shared for name in _TABLE.findall(migration.sql))
        await connection.execute(f'grant select, insert, update, delete on {tables} to "{role_of(schema)}"')
        return applied + await _apply(connection, read_migrations(folder, schema))
    finally:
        await connection.execute("reset search_path")
        await connection.execute("select pg_advisory_unlock($1)", _LOCK_KEY)


async def _prepare_schema(connection: "asyncpg.Connection[Any]", schema: str, password: str | None) -> None:
    role = role_of(schema)
    if not await connection.fetchval("select true from pg_roles where rolname = $1", role):
        # A migration of another database on the same server may be first.
        with contextlib.suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            await connection.execute(f'create role "{role}" login nosuperuser nocreatedb nocreaterole')
    if password is not None:
        # Statements may be logged by the server; what it needs to check a password does not tell it.
        await connection.execute(f"alter role \"{role}\" password '{password_verifier(password)}'")
    await connection.execute(f'create schema if not exists "{schema}"')
    await connection.execute(f'grant usage on schema "{schema}" to "{role}"')
    await connection.execute(f'set search_path to "{schema}"')
    await connection.execute(
        "create table if not exists schema_migrations ("
        " version text primary key, checksum text not null, applied_at timestamptz not null default now())"
    )
    await connection.execute(f'grant select on schema_migrations to "{role}"')  # for its health check


async def _apply(connection: "asyncpg.Connection[Any]", migrations: Sequence[Migration]) -> list[str]:
    known: dict[str, str] = {
        row["version"]: row["checksum"]
        for row in await connection.fetch("select version, checksum from schema_migrations")
    }
    applied = []
    for migration in migrations:
        if migration.version in known:
            if known[migration.version] != migration.checksum:
                raise MigrationError(f"{migration.version} was changed after it had been applied")
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migrations (version, checksum) values ($1, $2)",
                migration.version,
                migration.checksum,
            )
        applied.append(migration.version)
    return applied
