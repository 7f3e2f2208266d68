import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from shared.database.database import Database
from shared.database.migrations import migrate, role_of
from shared.http.application import Application
from sluice.infrastructure.postgres import LocalPostgres
from unit.shared.http.sample import Issuer, client_of, sample_application

SCHEMA = "sample"


@pytest.fixture(scope="session")
def administrator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    base = tmp_path_factory.mktemp("postgres")
    run_folder = tmp_path_factory.mktemp("run")
    server = LocalPostgres(base / "server", run_folder, say=lambda _: None, settings={"fsync": "off"})
    server.start()
    try:
        yield server.administrator_url
    finally:
        server.stop()


@pytest.fixture(scope="session")
async def database_url(administrator_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    migrations: Path = tmp_path_factory.mktemp("migrations")
    (migrations / "0001_notes.sql").write_text(
        "-- migrate:up\n"
        "create table notes (note_id text primary key, user_id text not null);\n"
        f"grant select, insert, delete on notes to {role_of(SCHEMA)};\n"
        "-- migrate:down\ndrop table notes;\n"
    )
    password = secrets.token_urlsafe(16)
    connection = await asyncpg.connect(administrator_url)
    try:
        await migrate(connection, schema=SCHEMA, password=password, folder=migrations)
    finally:
        await connection.close()
    place = administrator_url.rpartition("@")[2]
    return f"postgresql://{role_of(SCHEMA)}:{password}@{place}"


@pytest.fixture(scope="session")
async def opened_database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, schema=SCHEMA, application_name="tests")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def sample_database(opened_database: Database) -> Database:
    for table in ("notes", "outbox", "idempotency_keys"):
        await opened_database.pool.execute(f"delete from {table}")
    return opened_database


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.add_key("one")
    return issuer


@pytest.fixture
def application(issuer: Issuer, sample_database: Database) -> Application:
    return sample_application(issuer, database=sample_database)


@pytest.fixture
async def client(application: Application, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application, issuer.token()) as client:
        yield client
