"""An upgrade of a database that holds data: rows stay, and what is append-only stays so."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.database import migrations
from shared.database.migrations import SHARED_MIGRATIONS, migrate, role_of
from sluice.services import service_named
from support.databases import Databases, FreshDatabase

FORMER_SHARED = ("0001_messages", "0002_idempotency_keys", "0003_outbox_storage", "0004_outbox_vacuum")
APPEND_ONLY = {
    "release": ("cap_ledger", "billing_event_history"),
    "accounting-connector": ("document_lines", "document_taxes", "company_settings", "documents"),
    "billing-runs": ("rules", "execution_log"),
}


@pytest.fixture
def former_shared(tmp_path: Path) -> Path:
    """The kit's migrations as they were before sources were kept."""
    for name in FORMER_SHARED:
        shutil.copy(SHARED_MIGRATIONS / f"{name}.sql", tmp_path)
    return tmp_path


@pytest.fixture
def empty(databases: Databases) -> Iterator[FreshDatabase]:
    """A database to make schemas in."""
    made = databases.fresh("release")
    databases._execute(f'drop database "{made.name}" with (force)')
    databases._execute(f'create database "{made.name}"')
    yield made
    databases.drop(made)


@pytest.mark.parametrize("service", sorted(APPEND_ONLY))
async def test_an_upgrade_keeps_data_and_takes_back_what_was_granted_on_append_only_tables(
    empty: FreshDatabase, former_shared: Path, monkeypatch: pytest.MonkeyPatch, repository: Path, service: str
) -> None:
    known = service_named(service)
    schema, role = known.module, role_of(known.module)
    folder = repository / "services" / service / "migrations"
    connection = await asyncpg.connect(empty.administrator_url)

    async def upgrade() -> list[str]:
        return await migrate(connection, schema=schema, password=None, folder=folder)

    try:
        monkeypatch.setattr(migrations, "SHARED_MIGRATIONS", former_shared)
        await upgrade()
        # As earlier upgrades of the kit had left it.
        await connection.execute(
            f"grant select, insert, update, delete on all tables in schema {schema} to {role};"
            f"revoke all on {schema}.schema_migrations from {role}"
        )
        await connection.execute(f"insert into {schema}.inbox (message_id, payload_hash) values ('m', 'h')")
        await connection.execute(
            f"insert into {schema}.consumed_positions values ('psa', 'psa.projects', 0, 9, 4, 3, 1, 2)"
        )
        monkeypatch.setattr(migrations, "SHARED_MIGRATIONS", SHARED_MIGRATIONS)

        assert "shared/0005_sources" in await upgrade()

        assert await connection.fetchval(f"select source from {schema}.inbox") is None
        assert await connection.fetchval(f"select records from {schema}.consumed_positions") == 10
        for table in APPEND_ONLY[service]:
            assert await verbs_of(connection, role, f"{schema}.{table}") == {"SELECT", "INSERT"}, table
        for table in ("inbox", "inbox_shared_ids", "outbox", "consumed_positions"):
            granted = await verbs_of(connection, role, f"{schema}.{table}")
            assert granted == {"SELECT", "INSERT", "UPDATE", "DELETE"}, table
        assert await verbs_of(connection, role, f"{schema}.schema_migrations") == {"SELECT"}
        assert await upgrade() == []
    finally:
        await connection.close()


async def verbs_of(connection: "asyncpg.Connection[Any]", role: str, table: str) -> set[str]:
    """What the role may do with the whole table."""
    verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"]
    return {
        verb
        for verb in verbs
        if await connection.fetchval("select has_table_privilege($1, $2, $3)", role, table, verb)
    }
