"""One database role per service, that may do in its own schema what its migrations grant, and nothing elsewhere."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import asyncpg
import pytest

from support.databases import Databases, FreshDatabase

VERBS: Final = {
    "select": "select from {table} limit 0",
    "insert": "insert into {table} default values",
    "update": "update {table} set {column} = {column}",
    "delete": "delete from {table}",
    "truncate": "truncate {table}",
    "lock": "lock table {table} in access exclusive mode",
    "drop": "drop table {table}",
    "alter": "alter table {table} add column surplus text",
    "read a column": "select {column} from {table} limit 0",
}

APPEND_ONLY: Final = {
    "release": {"cap_ledger", "billing_event_history"},
    "accounting-connector": {"document_lines", "document_taxes", "company_settings"},
    "billing-runs": {"rules", "execution_log"},
    "notifier": set(),
}
SERVICES: Final = sorted(APPEND_ONLY)

_TABLES: Final = """
select schemaname || '.' || quote_ident(tablename) as name, schemaname as schema, tablename as table,
  (select quote_ident(attname) from pg_attribute
   where attrelid = (quote_ident(schemaname) || '.' || quote_ident(tablename))::regclass and attnum > 0
   and not attisdropped and attgenerated = '' and attidentity = '' order by attnum limit 1) as column
from pg_tables where schemaname = any($1) order by 1
"""


@pytest.fixture(scope="module")
def seen_by(databases: Databases) -> Iterator[dict[str, FreshDatabase]]:
    """One database with all four schemas, as each service sees it."""
    made = databases.shared_by_all()
    yield made
    databases.drop(made["release"])


@pytest.fixture(scope="module")
async def tables(seen_by: dict[str, FreshDatabase]) -> list[Any]:
    """All tables of the four services."""
    administrator = await asyncpg.connect(seen_by["release"].administrator_url)
    found = await administrator.fetch(_TABLES, [seen.schema for seen in seen_by.values()])
    await administrator.close()
    return list(found)


@pytest.fixture(params=SERVICES)
async def signed_in(
    request: pytest.FixtureRequest, seen_by: dict[str, FreshDatabase]
) -> AsyncIterator[tuple[str, str, "asyncpg.Connection[Any]"]]:
    """A service, its schema, and a connection as its role."""
    seen = seen_by[request.param]
    connection = await asyncpg.connect(seen.url)
    yield request.param, seen.schema, connection
    await connection.close()


async def is_denied(connection: "asyncpg.Connection[Any]", statement: str) -> bool:
    """Whether PostgreSQL refuses the statement for want of a right; whatever it does is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    except asyncpg.PostgresError:
        return False
    else:
        return False
    finally:
        await transaction.rollback()


async def test_a_role_may_do_nothing_in_the_schemas_of_others(
    signed_in: tuple[str, str, Any], tables: list[Any]
) -> None:
    _, schema, connection = signed_in
    foreign = [table for table in tables if table["schema"] != schema]
    assert len({table["schema"] for table in foreign}) == 3
    permitted = [
        (verb, table["name"])
        for table in foreign
        for verb, statement in VERBS.items()
        if not await is_denied(connection, statement.format(table=table["name"], column=table["column"]))
    ]
    assert permitted == []


async def test_a_role_works_in_its_own_schema(signed_in: tuple[str, str, Any], tables: list[Any]) -> None:
    _, schema, connection = signed_in
    own = [
        table["name"]
        for table in tables
        if table["schema"] == schema and table["table"] != "schema_migrations"
    ]
    assert len(own) >= 10
    for table in own:
        assert not await is_denied(connection, f"select from {table} limit 0"), table


async def test_what_is_append_only_takes_no_update_and_no_delete(
    signed_in: tuple[str, str, Any], tables: list[Any]
) -> None:
    service, schema, connection = signed_in
    columns = {table["table"]: table["column"] for table in tables if table["schema"] == schema}
    for name in APPEND_ONLY[service]:
        for verb in ("update", "delete", "truncate"):
            statement = VERBS[verb].format(table=f"{schema}.{name}", column=columns[name])
            assert await is_denied(connection, statement), statement
        assert not await is_denied(connection, f"insert into {schema}.{name} default values"), name


async def test_a_role_cannot_change_what_its_tables_are(
    signed_in: tuple[str, str, Any], tables: list[Any]
) -> None:
    _, schema, connection = signed_in
    for table in tables:
        if table["schema"] == schema:
            for verb in ("truncate", "drop", "alter"):
                statement = VERBS[verb].format(table=table["name"], column=table["column"])
                assert await is_denied(connection, statement), statement
    assert await is_denied(connection, f"insert into {schema}.schema_migrations default values")
    assert await is_denied(connection, f"delete from {schema}.schema_migrations")
    for statement in ("create table {}.surplus (id int)", "create function {}.f() returns int return 1"):
        assert await is_denied(connection, statement.format(schema))
        assert await is_denied(connection, statement.format("public"))


async def test_of_a_document_only_its_state_can_be_updated(seen_by: dict[str, FreshDatabase]) -> None:
    connection = await asyncpg.connect(seen_by["accounting-connector"].url)
    described = (
        "select attname from pg_attribute"
        " where attnum > 0 and not attisdropped and attrelid = $1::text::regclass"
    )
    try:
        rows = await connection.fetch(described, "accounting_connector.documents")
        columns = [row["attname"] for row in rows]
        updatable = {
            column
            for column in columns
            if not await is_denied(
                connection, f'update accounting_connector.documents set "{column}" = "{column}"'
            )
        }
        assert {"status", "number", "date"} <= updatable
        assert updatable <= {"status", "number", "date", "due_date", "warnings", "rendering"}
        assert await is_denied(connection, "delete from accounting_connector.documents")
    finally:
        await connection.close()


async def test_a_role_is_nothing_but_a_user(signed_in: tuple[str, str, Any]) -> None:
    _, schema, connection = signed_in
    role = await connection.fetchrow(
        "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls from pg_roles"
        " where rolname = current_user"
    )
    assert set(role.values()) == {False}
    member_of = "select count(*) from pg_auth_members where member = current_user::regrole"
    assert await connection.fetchval(member_of) == 0
    owned = "select count(*) from pg_shdepend where refobjid = current_user::regrole and deptype = 'o'"
    assert await connection.fetchval(owned) == 0
    others = sorted({"sluice_release", "sluice_notifier"} - {f"sluice_{schema}"})
    for statement in (
        f"set role {others[0]}",
        f"alter role {others[0]} password 'mine'",
        "alter role current_user superuser",
        "copy (select 1) to program 'true'",
        "select pg_read_file('postgresql.conf')",
        "create extension dblink",
        "create role another",
    ):
        assert await is_denied(connection, statement), statement
