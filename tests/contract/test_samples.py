"""Every message type: its sample is read; what is missing, of a wrong type or unknown is treated by the rule."""

import json
import re
from typing import Any, Final

import pytest

from contract.places import FieldPlace, at, fields, places
from contract.samples import SAMPLES, Body, sample
from shared.contracts.base import Closed
from shared.contracts.catalogue import CATALOGUE, MessageType, message_types_of
from shared.contracts.decoding import ContractError, decode_body

# One list within a list is no text, number, flag, date, object, and no list of any of these either.
OF_A_WRONG_TYPE: list[Any] = [[]]

ALL_TYPES = pytest.mark.parametrize("message_type", CATALOGUE.values(), ids=CATALOGUE.keys())


def _decode(message_type: MessageType, body: Body) -> Any:
    return decode_body(message_type, json.dumps(body).encode())


def _refused_fields(message_type: MessageType, body: Body) -> list[str]:
    with pytest.raises(ContractError) as refused:
        _decode(message_type, body)
    return [error.field for error in refused.value.errors]


def _fields_of(message_type: MessageType) -> list[FieldPlace]:
    return list(fields(message_type.body_model, SAMPLES[message_type.type]))


def test_every_message_type_has_a_sample() -> None:
    assert SAMPLES.keys() == CATALOGUE.keys()


def test_every_type_stands_on_its_own_topic() -> None:
    listed = [
        entry.type
        for topic in {entry.topic for entry in CATALOGUE.values()}
        for entry in message_types_of(topic)
    ]
    assert sorted(listed) == sorted(CATALOGUE)
    assert len(message_types_of("psa.billing-events")) == 2
    assert message_types_of("unknown") == ()


_REQUIRED_BY_OTHERS: Final = {
    ("billing-runs.run.create.v1", "kind"),
    ("billing-runs.documents.review.v1", "reason"),
}
"""Fields that what else the sample says makes required."""


@ALL_TYPES
def test_the_sample_gives_every_field(message_type: MessageType) -> None:
    body = SAMPLES[message_type.type]
    selections = {"billing_event_ids", "batch_ids", "filter", "eligible", "document_ids", "billing_cycle_id"}
    for place in places(message_type.body_model, body):
        names = {info.alias or name for name, info in place.model.model_fields.items()}
        missing = names - at(body, place.steps).keys()
        if names & selections and place.steps:
            continue  # a selection gives only one of its ways
        assert missing <= {"line2", "region", "batch_id"} | selections, place


@ALL_TYPES
def test_what_is_read_is_written_alike(message_type: MessageType) -> None:
    body = SAMPLES[message_type.type]
    read = _decode(message_type, body)
    written = read.model_dump(mode="json", by_alias=True)
    assert _decode(message_type, written) == read
    for place in fields(message_type.body_model, body):
        given, found = at(body, place.steps)[place.name], at(written, place.steps)[place.name]
        if not isinstance(given, (dict, list)):
            assert found == given, place.path


@ALL_TYPES
def test_a_missing_required_field_is_named(message_type: MessageType) -> None:
    required = [place for place in _fields_of(message_type) if place.info.is_required()]
    assert required
    for place in required:
        body = sample(message_type.type)
        del at(body, place.steps)[place.name]
        assert place.path in _refused_fields(message_type, body)


@ALL_TYPES
def test_what_is_not_required_may_be_absent(message_type: MessageType) -> None:
    for place in _fields_of(message_type):
        body = sample(message_type.type)
        of_a_selection = any(step in {"select", "scope"} for step in place.steps)
        if place.info.is_required() or of_a_selection:
            continue
        del at(body, place.steps)[place.name]
        if (message_type.type, place.name) in _REQUIRED_BY_OTHERS:
            assert _refused_fields(message_type, body) == [place.name]
        else:
            _decode(message_type, body)


@ALL_TYPES
def test_a_wrong_type_is_refused_by_field(message_type: MessageType) -> None:
    for place in _fields_of(message_type):
        body = sample(message_type.type)
        at(body, place.steps)[place.name] = OF_A_WRONG_TYPE
        refused = _refused_fields(message_type, body)
        assert any(re.fullmatch(rf"{re.escape(place.path)}(\[0\].*)?", field) for field in refused), (
            place.path
        )


@ALL_TYPES
def test_an_unknown_field_is_ignored_or_refused(message_type: MessageType) -> None:
    for place in places(message_type.body_model, SAMPLES[message_type.type]):
        body = sample(message_type.type)
        at(body, place.steps)["unknown"] = {"anything": [1.5]}
        if message_type.topic.endswith(".commands"):
            assert issubclass(message_type.body_model, Closed)
            assert [field.rpartition(".")[2] for field in _refused_fields(message_type, body)] == ["unknown"]
        else:
            assert _decode(message_type, body) == _decode(message_type, SAMPLES[message_type.type])


@ALL_TYPES
def test_the_key_stands_in_the_sample(message_type: MessageType) -> None:
    paths = re.findall(r"\{(.+?)\}", message_type.key_field) or [message_type.key_field]
    for path in paths:
        steps = tuple(int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path))
        assert isinstance(at(SAMPLES[message_type.type], steps), str)


def test_facts_carry_the_starter() -> None:
    facts = [entry for entry in CATALOGUE.values() if entry.topic.endswith(".events")]
    assert len(facts) > 30
    for entry in facts:
        assert "starter" in entry.body_model.model_fields, entry.type
