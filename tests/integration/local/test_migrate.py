"""`sluice migrate` in earnest: the administrator's address and the roles' passwords stand in files."""

import json
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from shared.database.migrations import role_of
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
        connection = await asyncpg.connect(url)
        try:
            return bool(await connection.fetchval("select true"))
        finally:
            await connection.close()

    return run_blocking(look())
