"""deploy/topics.yaml names the topics of the contract, with what they must hold."""

from shared.contracts import topics as contract
from sluice.services import SERVICES
from sluice.topics import read_topics


def test_every_topic_of_the_contract_is_there_and_no_other() -> None:
    named = {
        value
        for name, value in vars(contract).items()
        if name.isupper() and name[0] != "_" and isinstance(value, str)
    }
    dead_letters = {contract.dead_letters_topic(service.name) for service in SERVICES}
    assert {topic.name for topic in read_topics()} == named | dead_letters


def test_reference_topics_alone_are_compacted_and_kept_for_good() -> None:
    compacted = {topic.name for topic in read_topics() if topic.settings["cleanup.policy"] == "compact"}
    assert compacted == contract.COMPACTED
    kept = {topic.name for topic in read_topics() if topic.settings["retention.ms"] == "-1"}
    assert kept == contract.COMPACTED


def test_every_topic_takes_values_of_16_mebibytes_and_has_6_partitions() -> None:
    for topic in read_topics():
        assert int(topic.settings["max.message.bytes"]) > 16 * 1024 * 1024
        assert topic.partitions == 6
