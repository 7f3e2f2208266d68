"""PostgreSQL of our own: survives kill -9, gives way on ports, and keeps roles apart."""

import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sluice.infrastructure.postgres import LocalPostgres
from sluice.state import State, ephemeral_state
from support.databases import Databases


def unheard(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
def state() -> Iterator[State]:
    made = ephemeral_state()
    made.prepare()
    yield made
    made.remove()


def server_in(state: State, port: int | None = None) -> LocalPostgres:
    return LocalPostgres(state.data / "postgres", state.run, say=unheard, port=port)


async def test_what_was_committed_outlives_kill_9_on_the_same_address(state: State) -> None:
    server = server_in(state)
    server.start()
    try:
        address = server.administrator_url
        connection = await asyncpg.connect(address)
        await connection.execute("create table kept (id int primary key); insert into kept values (7)")
        server.kill()
        assert not server.is_running()
        server.start()
        assert server.administrator_url == address
        again = await asyncpg.connect(address)
        assert await again.fetchval("select id from kept") == 7
        await again.close()
        connection.terminate()
    finally:
        server.stop()


def test_a_taken_port_is_left_to_its_owner(state: State) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        server = server_in(state, port=taken)
        server.start()
        try:
            assert server.is_running()
            assert server.port != taken
        finally:
            server.stop()


def test_an_interrupted_initdb_is_made_anew(state: State) -> None:
    half_made = state.data / "postgres" / "data"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    server = server_in(state)
    server.start()
    assert server.is_running()
    server.stop()


async def test_a_role_signs_in_with_its_password_only(databases: Databases) -> None:
    database = databases.fresh("release")
    try:
        connection = await asyncpg.connect(database.url)
        assert await connection.fetchval("select current_user") == "sluice_release"
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(database.url.replace(":test@", ":guess@"))
    finally:
        databases.drop(database)


def test_the_data_is_for_its_owner_only(state: State) -> None:
    server = server_in(state)
    server.start()
    server.stop()
    assert Path(server.state).stat().st_mode & 0o077 == 0
