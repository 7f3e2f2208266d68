"""Every message type: its topic, its body's model, and the field that keys it (contract.md section 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

from shared.contracts import psa, topics

BodyModel = type[BaseModel]


@dataclass(frozen=True, slots=True)
class MessageType:
    """One type of message. `key_field` is where in the body the record's key stands."""

    type: str
    topic: str
    body_model: BodyModel
    key_field: str
    description: str


_PSA: Final = (
    MessageType(
        "psa.project.upserted.v1",
        topics.PSA_PROJECTS,
        psa.ProjectUpserted,
        "project_id",
        "A project with its budgets and cap settings.",
    ),
    MessageType(
        "psa.account.upserted.v1",
        topics.PSA_ACCOUNTS,
        psa.AccountUpserted,
        "account_id",
        "A customer account.",
    ),
    MessageType(
        "psa.company.upserted.v1",
        topics.PSA_COMPANIES,
        psa.CompanyUpserted,
        "company_id",
        "A company of the organisation.",
    ),
    MessageType(
        "psa.exchange-rate.upserted.v1",
        topics.PSA_EXCHANGE_RATES,
        psa.ExchangeRateUpserted,
        "from",
        "An exchange rate.",
    ),
    MessageType(
        "psa.business-record.upserted.v1",
        topics.PSA_BUSINESS_RECORDS,
        psa.BusinessRecordUpserted,
        "record_id",
        "A timecard, expense, assignment, milestone and so on.",
    ),
    MessageType(
        "psa.billing-event.generated.v1",
        topics.PSA_BILLING_EVENTS,
        psa.BillingEventGenerated,
        "project_id",
        "A billing event, or a later version of it.",
    ),
    MessageType(
        "psa.billing-event.deleted.v1",
        topics.PSA_BILLING_EVENTS,
        psa.BillingEventDeleted,
        "project_id",
        "A billing event is withdrawn.",
    ),
)

CATALOGUE: Final[Mapping[str, MessageType]] = MappingProxyType({entry.type: entry for entry in _PSA})


def message_types_of(topic: str) -> tuple[MessageType, ...]:
    """The message types that may stand on the topic, in the order of the contract."""
    return tuple(entry for entry in CATALOGUE.values() if entry.topic == topic)
