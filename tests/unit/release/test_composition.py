"""How the release service is put together: what it reads, and that every type it may be told of is handled."""

import pytest

from release.main import compose
from release.settings import Settings
from shared.contracts import topics
from shared.contracts.catalogue import CATALOGUE, message_types_of
from shared.database.database import Database
from shared.service import Parts


@pytest.fixture
def parts() -> Parts:
    database_url = "postgresql://nobody@127.0.0.1:9/none"
    settings = Settings(
        kafka_bootstrap_servers="127.0.0.1:9", database_url=database_url, oidc_issuer="https://issuer.example"
    )
    return compose(settings)(Database(database_url, schema="release", application_name="tests"))


def test_three_lines_read_what_the_contract_says(parts: Parts) -> None:
    lines = {line.name: line for line in parts.lines}
    assert lines.keys() == {"psa", "commands", "accounting"}
    assert set(lines["psa"].topics) == {
        entry.topic for entry in CATALOGUE.values() if entry.topic.startswith("psa.")
    }
    assert lines["commands"].topics == (topics.RELEASE_COMMANDS,)
    assert lines["accounting"].topics == (topics.ACCOUNTING_EVENTS,)


def test_every_command_and_all_that_psa_sends_is_handled(parts: Parts) -> None:
    lines = {line.name: line for line in parts.lines}
    assert lines["commands"].handled == {entry.type for entry in message_types_of(topics.RELEASE_COMMANDS)}
    assert lines["psa"].handled == {each for each in CATALOGUE if each.startswith("psa.")}
    for line in parts.lines:
        assert {CATALOGUE[handled].topic for handled in line.handled} <= set(line.topics)


def test_workers_have_names_of_their_own(parts: Parts) -> None:
    names = [worker.name for worker in parts.workers]
    assert sorted(set(names)) == sorted(names)
    assert {"changes", "completions", "waiting commands", "jobs", "reconciliation"} <= set(names)
