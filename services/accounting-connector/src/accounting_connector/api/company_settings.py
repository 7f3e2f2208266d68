"""What a company sets for its documents (contract.md section 2: `PUT /companies/{id}/settings`)."""

import itertools
import re
from datetime import time
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from accounting_connector.domain.exemptions import EXEMPTION_CODES
from accounting_connector.domain.mappings import FieldMapping, MappingError, make_mapping
from accounting_connector.domain.schedule import Every, Schedule
from accounting_connector.domain.tax import overlapping_rules
from accounting_connector.store.parties import tax_rules_of
from shared.contracts.base import (
    Closed,
    Count,
    CountryCode,
    Date,
    Description,
    Id,
    Name,
    Reader,
    field_error,
)
from shared.contracts.decimals import Percentage
from shared.contracts.document import Document
from shared.contracts.facts import Reasons
from shared.expressions import LENGTH_MAX, ExpressionError, compile_expression
from shared.http.problems import ERRORS_MAX, FieldError, Problem

PAYMENT_DAYS_MAX: Final = 3650
DAYS_AHEAD_MAX: Final = 3650
RECIPIENTS_MAX: Final = 100
_RATED: Final = frozenset({"S", "L", "M"})
_PARTS: Final = re.compile("[;,]")


def _compiles(expression: str) -> str:
    try:
        compile_expression(expression)
    except ExpressionError as error:
        raise ValueError(str(error)) from None
    return expression


def _bounded_addresses(text: str) -> str:
    parts = [part.strip() for part in _PARTS.split(text)]
    if len(parts) > RECIPIENTS_MAX or any(len(part) > 320 for part in parts):
        raise ValueError(f"should have at most {RECIPIENTS_MAX} addresses of at most 320 characters")
    return text


Criterion = Annotated[str, Field(max_length=LENGTH_MAX), AfterValidator(_compiles)]
Criteria = Annotated[list[Criterion], Field(max_length=50)]
Addresses = Annotated[
    str,
    StringConstraints(strict=True, max_length=10_000, pattern=r"^[^\x00-\x1f\x7f]*$"),
    AfterValidator(_bounded_addresses),
]
FieldName = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,99}$")]
TimeOfDay = Annotated[str, StringConstraints(strict=True, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class MappingBody(Closed):
    """A target field with its source path, or with a static value; a static null empties it."""

    target: Name
    source: Name | None = None
    value: Description | None = None

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        given = self.model_fields_set & {"source", "value"}
        if len(given) != 1 or (self.source is None and "source" in given):
            raise field_error(("source",), "mapping", "should be given, or value in its place, not both")
        try:
            self.mapping()
        except MappingError as error:
            raise field_error(("target",), "mapping", str(error)) from None
        return self

    def mapping(self) -> FieldMapping:
        """The mapping as the domain has it."""
        return make_mapping(self.target, source=self.source, value=self.value)


class TaxRuleBody(Closed):
    """Category and rate (in percent) for what it names; null stands for any, and for no end of its time.

    `country`: the customer's, or `EU` for a member state other than the company's own (documents.md section 2.3).
    """

    services_product: Name | None = None
    country: CountryCode | None = None
    buyer: Literal["business", "private"] | None = None
    category: Literal["S", "Z", "E", "AE", "K", "G", "O", "L", "M"]
    rate: Percentage
    reason: Description | None = None
    reason_code: Name | None = None
    valid_from: Date | None = None
    valid_to: Date | None = None

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.category == "K":
            raise field_error(
                ("category",), "tax_category", "should not be K: a delivery of goods is not billed"
            )
        if self.rate and self.category not in _RATED:
            raise field_error(("rate",), "tax_rate", f"should be 0 in the category {self.category}")
        if not self.rate and self.category == "S":
            message = "should be above 0 in the category S: Z is zero rated, E exempt"
            raise field_error(("rate",), "tax_rate", message)
        if self.reason_code is not None and self.reason_code not in EXEMPTION_CODES:
            raise field_error(("reason_code",), "reason_code", "should be a code of the VATEX list")
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise field_error(("valid_to",), "period", "should not be before valid_from")
        return self


class ScheduleBody(Closed):
    """When documents are made by themselves, in business time; hourly, `at` gives the minute."""

    every: Literal["hour", "day", "week", "month"]
    at: TimeOfDay = "00:00"
    weekday: Annotated[int, Field(ge=1, le=7)] | None = None
    day: Annotated[int, Field(ge=1, le=31)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        try:
            Schedule(Every(self.every), time.fromisoformat(self.at), self.weekday, self.day)
        except ValueError as error:
            raise field_error(("every",), "schedule", str(error)) from None
        return self


class CompanySettingsBody(Closed):
    """All settings of a company; what is left out gets its default.

    `reason`: why they are changed; it must be given where `closed_through` is set back.
    """

    mappings: Annotated[list[MappingBody], Field(max_length=100)] = Field(default_factory=list)
    event_criteria: Criteria = Field(default_factory=list)
    item_criteria: Criteria = Field(default_factory=list)
    tax_rules: Annotated[list[TaxRuleBody], Field(max_length=5_000)] = Field(default_factory=list)
    on_tax_rule_missing: Literal["refuse", "zero_rated"] | None = None
    date_order: Literal["off", "warn", "refuse"] | None = None
    days_ahead_max: Annotated[Count, Field(le=DAYS_AHEAD_MAX)] | None = None
    closed_through: Date | None = None
    schedule: ScheduleBody | None = None
    auto_pass_field: FieldName | None = None
    documents_elsewhere: bool = False
    additional_recipients: Addresses | None = None
    payment_days: Annotated[Count, Field(le=PAYMENT_DAYS_MAX)] | None = None
    reason: Description | None = None

    @model_validator(mode="after")
    def _say_nothing_twice(self) -> Self:
        targets = [
            (mapping.on_lines, mapping.target) for mapping in (body.mapping() for body in self.mappings)
        ]
        _refuse_repeated(targets, "mappings", "should be the only mapping of its target")
        return self

    def as_stored(self) -> dict[str, Any]:
        """The settings as JSON; of each mapping what was given.

        Raises Problem for tax rules alike whose times overlap (documents.md section 2.3).
        """
        stored = self.model_dump(mode="json")
        _refuse_overlaps(stored["tax_rules"])
        stored["mappings"] = [body.model_dump(mode="json", exclude_unset=True) for body in self.mappings]
        return stored


class TryOutBody(Closed):
    """Settings to try out, and the event to try them on."""

    settings: CompanySettingsBody
    billing_event_id: Id


class KnownFieldsBody(Reader):
    """The fields that criteria for events, and for items, may name."""

    event: list[str]
    item: list[str]


class TryOutAnswer(Reader):
    """The document that would be made with the settings, or the reasons why there would be none.

    `unknown_fields`: the names in criteria that no event, or no item, has; such settings are not kept.
    """

    eligible: bool
    document: Document | None
    reasons: Reasons
    unknown_fields: list[str]
    known_fields: KnownFieldsBody


class CompanySettingsAnswer(CompanySettingsBody):
    """The settings in force, their company, and their version: 0 where none were put."""

    company_id: Name
    version: Count


def _refuse_overlaps(rules: list[dict[str, Any]]) -> None:
    pairs = list(itertools.islice(overlapping_rules(tax_rules_of(rules)), ERRORS_MAX // 2))
    if pairs:
        message = "overlaps tax_rules[{}]: the same product, country and buyer at the same time"
        raise Problem(
            422,
            "tax_rules_overlap",
            "Two tax rules hold for the same at the same time",
            detail=f"tax_rules[{pairs[0][0]}] and tax_rules[{pairs[0][1]}] overlap",
            errors=[
                FieldError(f"tax_rules[{place}]", message.format(other))
                for one, two in pairs
                for place, other in ((one, two), (two, one))
            ],
            members={"rules": list(pairs[0])},
        )


def _refuse_repeated(keys: list[tuple[Any, ...]], field: str, message: str) -> None:
    seen: set[tuple[Any, ...]] = set()
    for place, key in enumerate(keys):
        if key in seen:
            raise field_error((field, place), "not_unique", message)
        seen.add(key)
