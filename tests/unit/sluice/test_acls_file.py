"""deploy/acls.yaml allows each service the topics that its code reads and writes, and no other."""

import re
from pathlib import Path

import pytest

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.topics import dead_letters_topic
from shared.database.database import Database
from shared.messaging.batches import group_of
from sluice.acls import Acl, Operation, Pattern, Resource, read_acls
from sluice.compositions import COMPOSITIONS
from sluice.services import SERVICES, LocalService

SETTINGS = {
    "kafka_bootstrap_servers": "127.0.0.1:1",
    "database_url": "postgresql://nobody@127.0.0.1:1/none",
    "oidc_issuer": "http://issuer.example",
    "smtp_url": "smtp://127.0.0.1:1",
    "mail_from": "billing@example.com",
}
NOWHERE = Database(SETTINGS["database_url"], schema="none", application_name="tests")
LINES = {
    each.name: each.compose(each.settings.model_validate(SETTINGS))(NOWHERE).lines for each in COMPOSITIONS
}
_TYPE = re.compile(r'"((?:release|accounting|billing-runs|notifier)\.[a-z.-]+\.v1)"')


def acls_of(service: LocalService) -> list[Acl]:
    return [acl for acl in read_acls() if acl.principal == f"User:{service.name}"]


def topics_of(service: LocalService, operation: Operation) -> set[str]:
    return {
        acl.name
        for acl in acls_of(service)
        if acl.resource is Resource.TOPIC and acl.operation is operation and acl.pattern is Pattern.LITERAL
    }


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_reads_the_topics_of_its_lines(service: LocalService) -> None:
    read = {topic for line in LINES[service.name] for topic in line.topics}
    assert topics_of(service, Operation.READ) == read


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_writes_its_facts_its_commands_to_others_and_its_dead_letters(
    service: LocalService, repository: Path
) -> None:
    handled = {type_ for line in LINES[service.name] for type_ in line.handled}
    source = "".join(
        path.read_text("utf-8") for path in (repository / "services" / service.name / "src").rglob("*.py")
    )
    named = {type_ for type_ in _TYPE.findall(source) if type_ in CATALOGUE} - handled
    commands = {CATALOGUE[type_].topic for type_ in named if CATALOGUE[type_].topic.endswith(".commands")}
    own_facts = {
        "release": "release.events",
        "accounting-connector": "accounting.events",
        "billing-runs": "billing-runs.events",
        "notifier": "notifier.events",
    }
    reads = topics_of(service, Operation.READ)
    wanted = {own_facts[service.name], dead_letters_topic(service.name), *(commands - reads)}
    assert topics_of(service, Operation.WRITE) == wanted


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_reads_in_its_own_groups(service: LocalService) -> None:
    (group,) = [acl for acl in acls_of(service) if acl.resource is Resource.GROUP]
    assert (group.operation, group.pattern) == (Operation.READ, Pattern.PREFIXED)
    assert all(group_of(service.name, line).startswith(group.name) for line in LINES[service.name])
    others = [other.name for other in SERVICES if other.name != service.name]
    assert not any(f"{other}.psa".startswith(group.name) for other in others)


def test_nobody_else_is_allowed_anything() -> None:
    assert {acl.principal for acl in read_acls()} == {f"User:{service.name}" for service in SERVICES}
