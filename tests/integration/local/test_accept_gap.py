"""`sluice accept-gap` on real servers: a line that cannot go on begins at what the topic still has."""

import json

import asyncpg
import pytest
from typer.testing import CliRunner

from sluice.infrastructure.blocking import run_blocking
from sluice.infrastructure.choose import Broker
from sluice.main import app
from support.databases import Databases
from support.topics import Topics


async def positions(url: str, *changes: str) -> dict[tuple[str, str], int]:
    connection = await asyncpg.connect(url)
    try:
        for change in changes:
            await connection.execute(change)
        rows = await connection.fetch("select * from notifier.consumed_positions")
        return {(row["line"], row["topic"]): row["next_offset"] for row in rows}
    finally:
        await connection.close()


def accept(*options: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(app, ["accept-gap", "--json", *options])
    assert done.exit_code == 0, done.output
    found: list[dict[str, object]] = json.loads(done.stdout)["gaps"]
    return found


def test_gaps_are_shown_then_accepted_and_nothing_else_is_changed(
    databases: Databases, topics: Topics, kafka_server: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = databases.shared_by_all()
    url = made["notifier"].administrator_url
    topic = topics.new("release.events", partitions=1)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_server.bootstrap_servers)
    row = "insert into notifier.consumed_positions values ('{}', '{}', 0, {}, 0, 0, 0, 0)"
    run_blocking(
        positions(
            url,
            row.format("ahead", topic, 7),
            row.format("level", topic, 0),
            row.format("gone", "no.topic", 9),
        )
    )
    before = {("ahead", topic): 7, ("level", topic): 0, ("gone", "no.topic"): 9}

    shown = accept("--only-show")

    assert [(each["service"], each["line"], each["known"], each["end"]) for each in shown] == [
        ("notifier", "ahead", 7, 0)
    ]
    assert run_blocking(positions(url)) == before
    assert accept() == shown
    assert run_blocking(positions(url)) == before | {("ahead", topic): 0}
    assert accept() == []
    databases.drop(made["release"])
