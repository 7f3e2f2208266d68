"""`sluice migrate` in earnest: the administrator's address and the roles' passwords stand in files."""

import json
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from shared.database.migrations import MigrationError, password_verifier, role_of
from sluice.infrastructure.blocking import run_blocking
from sluice.main import app
from sluice.services import SERVICES
from support.databases import Databases

OF_ALL_TESTS = "test"


def test_roles_get_the_passwords_of_their_files(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = databases.fresh("release")
    passwords = tmp_path / "passwords"
    passwords.mkdir()
    for service in SERVICES:
        (passwords / role_of(service.module)).write_text(f"{OF_ALL_TESTS}\n", encoding="utf-8")
    databases._execute(f"alter role {role_of('release')} password 'another'")
    (tmp_path / "DATABASE_URL").write_text(f"{database.administrator_url}\n", encoding="utf-8")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    done = CliRunner().invoke(app, ["migrate", "--json", "--passwords", str(passwords)])

    assert done.exit_code == 0, done.output
    applied = json.loads(done.stdout)["applied"]
    assert applied["release"] == []
    assert applied["notifier"] != []
    assert signs_in(database.url)
    databases.drop(database)


def signs_in(url: str) -> bool:
    """Whether the role of the address is let in."""

    async def look() -> bool:
        try:
            connection = await asyncpg.connect(url)
        except asyncpg.InvalidPasswordError:
            return False
        try:
            return bool(await connection.fetchval("select true"))
        finally:
            await connection.close()

    return run_blocking(look())


def test_the_server_is_not_told_the_password(databases: Databases) -> None:
    verifier = password_verifier(OF_ALL_TESTS)
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    assert OF_ALL_TESTS not in verifier
    assert password_verifier(OF_ALL_TESTS) != verifier, "each has a salt of its own"
    database = databases.fresh("release")
    databases._execute(f"alter role {role_of('release')} password '{verifier}'")
    assert signs_in(database.url)
    assert not signs_in(database.url.replace(f":{OF_ALL_TESTS}@", ":another@"))
    databases.drop(database)


@pytest.mark.parametrize("password", ["", "naïve", "two\nlines"])
def test_a_password_that_servers_would_read_in_their_own_way_is_refused(password: str) -> None:
    with pytest.raises(MigrationError):
        password_verifier(password)
