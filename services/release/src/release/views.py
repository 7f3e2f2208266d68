"""The part of other services' facts that this service reads; the rest may be anything."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from shared.contracts.base import Date, Id, Name
from shared.contracts.catalogue import MessageType
from shared.contracts.document import LINES_MAX, Document
from shared.contracts.facts import Fact


class WrittenBack(Fact):
    """What is written back of a validated document, which has a number and a date."""

    document_id: Id
    number: Name
    date: Date
    billing_event_ids: list[Id] = Field(min_length=1, max_length=LINES_MAX)
    mirrors_document_id: Id | None = None


def model_of(message_type: MessageType, _body: Mapping[str, Any]) -> type[BaseModel]:
    """What a message is read with: of documents the part that is needed, which costs a quarter of the whole."""
    return WrittenBack if message_type.body_model is Document else message_type.body_model
