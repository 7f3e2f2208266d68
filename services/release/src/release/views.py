"""The part of other services' facts that this service reads; the rest may be anything."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from shared.contracts.base import Date, Id, Name
from shared.contracts.catalogue import MessageType
from shared.contracts.document import LINES_MAX, Document, LeftOutItem
from shared.contracts.facts import Fact


class WrittenBack(Fact):
    """What is written back of a validated document, which has a number and a date."""

    document_id: Id
    number: Name
    date: Date
    billing_event_ids: list[Id] = Field(min_length=1, max_length=LINES_MAX)
    mirrors_document_id: Id | None = None
    excluded_items: list[Id] = Field(default_factory=list, max_length=LINES_MAX)
    left_out_items: list[LeftOutItem] = Field(default_factory=list, max_length=LINES_MAX)

    def left_out_of(self, billing_event_id: str) -> dict[str, str]:
        """The items of this event that the document leaves out, by id, with the criterion that each does not meet.

        A connector from before this was told names only their ids: then the event is known where it is the only one.
        """
        if not self.left_out_items and len(self.billing_event_ids) == 1:
            return dict.fromkeys(self.excluded_items, "")
        return {
            item.item_id: item.criterion
            for item in self.left_out_items
            if item.billing_event_id == billing_event_id
        }


def model_of(message_type: MessageType, _body: Mapping[str, Any]) -> type[BaseModel]:
    """What a message is read with: of documents the part that is needed, which costs a quarter of the whole."""
    return WrittenBack if message_type.body_model is Document else message_type.body_model
