"""Servers that tests share: one PostgreSQL and one broker per run, started when the first test asks for them."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
import time_machine
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import Scheduling

from sluice.console import say
from sluice.folders import user_cache
from sluice.guardian import Guardian
from sluice.infrastructure.choose import (
    Broker,
    DatabaseServer,
    Wishes,
    broker_choice,
    start_broker,
    start_database,
)
from sluice.infrastructure.containers import engine_answers
from sluice.infrastructure.postgres import FAST_AND_FORGETFUL
from sluice.state import State, ephemeral_state
from support.databases import Databases, FreshDatabase
from support.sharing import GroupScheduling, place_of, share_of
from support.topics import Topics, unique

pytest_plugins = ("judges.fixtures",)
TESTS: Final = Path(__file__).resolve().parent

# The suite is the same each time and knows no deadlines, for it must be stable on a busy machine;
# HYPOTHESIS_PROFILE=exploring looks further.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("exploring", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options by which `.ci/run` takes the day's share."""
    parser.addoption("--share", metavar="K/N", help="of the chosen tests, every N-th beginning with the K-th")
    parser.addoption(
        "--clock", metavar="TIME", help="begin at this time (ISO 8601, UTC), as this process sees it"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the clock of this process, should it be another one's time."""
    if clock := config.getoption("--clock"):
        traveller = time_machine.travel(datetime.fromisoformat(clock).replace(tzinfo=UTC))
        traveller.start()
        config.add_cleanup(traveller.stop)


@pytest.hookimpl(trylast=True)  # when it is known which tests are chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests in the order of their groups; keep a share of them if one is asked for."""
    if share := config.getoption("--share"):
        kept = share_of(items, share)
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
    places = {path: place_of(path.relative_to(TESTS).as_posix()) for path in {item.path for item in items}}
    items.sort(key=lambda item: places[item.path])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Hand the tests to several processes by their groups."""
    return GroupScheduling(config, log)


@pytest.fixture(scope="session")
def servers_state() -> Iterator[State]:
    """The folder of the run's servers; a guardian ends them and removes it, should the run itself be killed."""
    state = ephemeral_state()
    state.prepare()
    guardian = Guardian(state, removes_state=True)
    yield state
    guardian.dismiss()
    state.remove()


@pytest.fixture(scope="session")
def has_engine() -> bool:
    """Whether a container engine answers."""
    return engine_answers()


@pytest.fixture(scope="session")
def wishes(servers_state: State) -> Wishes:
    """How the run's servers are set: free ports, no durability, the broker that SLUICE_BROKER asks for."""
    return Wishes(
        folder=servers_state.data,
        run_folder=servers_state.run,
        cache=user_cache(),
        is_kept=False,
        postgres_settings=FAST_AND_FORGETFUL,
        broker=broker_choice(),
    )


@pytest.fixture(scope="session")
def postgres_server(wishes: Wishes, has_engine: bool) -> Iterator[DatabaseServer]:
    """One PostgreSQL for the run, without durability."""
    server = start_database(wishes, say, has_engine=has_engine)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka_server(wishes: Wishes, has_engine: bool) -> Iterator[Broker]:
    """One broker for the run: Apache Kafka wherever it can be had."""
    server = start_broker(wishes, say, has_engine=has_engine)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(postgres_server: DatabaseServer) -> Databases:
    """Makes fresh databases."""
    return Databases(postgres_server.administrator_url)


@pytest.fixture
def service() -> str:
    """Whose schema `database` has; a module or folder says so with a fixture of this name."""
    raise pytest.UsageError("say whose schema is wanted: a fixture `service` that returns its name")


@pytest.fixture
def database(databases: Databases, service: str) -> Iterator[FreshDatabase]:
    """A fresh database with the schema of `service`."""
    made = databases.fresh(service)
    yield made
    databases.drop(made)


@pytest.fixture(scope="session")
def topics(kafka_server: Broker) -> Topics:
    """Makes topics with unique names."""
    return Topics(kafka_server.bootstrap_servers)


@pytest.fixture
def unique_name() -> Callable[[str], str]:
    """Gives a name a random end: for groups, topics and ids that no other test has."""
    return unique


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return TESTS.parent
