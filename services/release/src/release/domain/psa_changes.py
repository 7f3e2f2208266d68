"""What PSA may still change or delete, by the stage of the event (domain.md section 1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from release.domain.events import FILLED_BY_HAND, BillingEvent, BillingEventItem, is_flag_set
from release.domain.reasons import Reason, already_released
from release.domain.stages import RELEASED_STAGES, UNRELEASED_STAGES, Stage

FILLABLE_FIELDS = ("account_id", "company_id", "billing_event_currency")
"""The event's own fields that may be filled after release, beside the items' products and the auto-pass flag."""

FIXED_FIELDS = (
    "project_id",
    "batch_id",
    "date",
    "currency",
    "customer_reference",
    "corrects_billing_event_id",
)
FIXED_ITEM_FIELDS = (
    "created_at",
    "category",
    "business_record_id",
    "business_record_version",
    "date",
    "description",
    "quantity",
    "unit_price",
    "amount",
    "budget_id",
    "fields",
)


@dataclass(frozen=True, slots=True)
class Ignored:
    """The message says nothing new: its version is older than, or equal to, what is stored."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The event is to be stored as given here, and completed (again) while it is not released."""

    event: BillingEvent


@dataclass(frozen=True, slots=True)
class Deleted:
    """The event is deleted as of this version; kept as such, so that its id is refused when it is sent anew."""

    billing_event_id: str
    version: int


@dataclass(frozen=True, slots=True)
class DeletedBefore:
    """The event comes after its delete of this version: it is to be stored as deleted."""

    event: BillingEvent
    version: int


@dataclass(frozen=True, slots=True)
class ChangeRefused:
    """The change is refused, with its reason; nothing is stored."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class IdTaken:
    """The id is that of an event made here: the message is bad input in any version, and changes nothing."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class StoredState:
    """What is known of an id: its stage and last version, and the event (None if only its delete has come).

    `moved_items` are the items that splits have moved out of the event, by id: PSA still sends them with it.
    `auto_pass_field` is the custom field that the event's company names in place of the flag.
    """

    stage: Stage
    version: int
    event: BillingEvent | None
    moved_items: Mapping[str, BillingEventItem] = field(default_factory=dict)
    auto_pass_field: str | None = None

    @property
    def is_made_here(self) -> bool:
        """Whether the event was made here (by a split, of a credit or of items left out), and not by PSA."""
        return self.event is not None and self.event.origin_id is not None


def take_generated(
    stored: StoredState | None, sent: BillingEvent
) -> Accepted | DeletedBefore | Ignored | ChangeRefused | IdTaken:
    """Decide about an event that PSA sent, against what is stored under its id (domain.md section 1).

    Unreleased: the new version replaces the old one, and keeps what was filled by hand, the hold and the queue.
    Released and not invoiced: it may only fill what is empty. Reverted or deleted: the id is refused. An older or equal
    version is ignored; the first one to come after its delete is kept as deleted, as if it had come before.
    The id of an event that a split made is never PSA's, in whatever stage and version.
    """
    if stored is None:
        return Accepted(sent)
    if stored.is_made_here:
        return IdTaken(_taken_by_split(sent.billing_event_id))
    if sent.version <= stored.version:
        return DeletedBefore(sent, stored.version) if stored.event is None else Ignored()
    if stored.event is None or stored.stage in {Stage.DELETED, Stage.REVERTED}:
        return ChangeRefused(_sent_anew(sent.billing_event_id, stored.stage))
    if stored.stage in UNRELEASED_STAGES:
        return Accepted(_replaced(stored.event, _with_field_by_hand(stored, sent)))
    return _filled_by_psa(stored, stored.event, sent)


def take_deleted(
    stored: StoredState | None, billing_event_id: str, version: int
) -> Deleted | Ignored | ChangeRefused | IdTaken:
    """Decide about PSA's delete of an event (domain.md section 1); one that comes before its event is kept."""
    if stored is None:
        return Deleted(billing_event_id, version)
    if stored.is_made_here:
        return IdTaken(_taken_by_split(billing_event_id))
    if version <= stored.version or stored.stage is Stage.DELETED:
        return Ignored()
    if stored.stage in UNRELEASED_STAGES:
        return Deleted(billing_event_id, version)
    if stored.stage in RELEASED_STAGES:
        return ChangeRefused(already_released(billing_event_id, stored.stage))
    return ChangeRefused(_sent_anew(billing_event_id, stored.stage))


def _taken_by_split(billing_event_id: str) -> Reason:
    return Reason(
        "id_taken_by_split",
        f"A split has made billing event {billing_event_id}: PSA cannot change or delete it.",
        {"billing_event_id": billing_event_id},
    )


def _sent_anew(billing_event_id: str, stage: Stage) -> Reason:
    return Reason(
        stage.value,
        f"Billing event {billing_event_id} was {stage.value}: its id cannot be used again.",
        {"stage": stage.value},
    )


def _replaced(stored: BillingEvent, sent: BillingEvent) -> BillingEvent:
    """The new version in the place of the old one, with all that is not PSA's to say carried over."""
    by_hand = {
        name: origin
        for name, origin in stored.filled.items()
        if origin in FILLED_BY_HAND and (name == "fields" or not getattr(sent, name))
    }
    stored_items = {item.item_id: item for item in stored.items}
    return replace(
        sent,
        items=tuple(_with_product_by_hand(item, stored_items.get(item.item_id)) for item in sent.items),
        filled=by_hand,
        stage=stored.stage,
        on_hold=stored.on_hold,
        queued_by=stored.queued_by,
        **{name: getattr(stored, name) for name in by_hand if name != "fields"},
    )


def _with_field_by_hand(stored: StoredState, sent: BillingEvent) -> BillingEvent:
    """What PSA sent, with the auto-pass field as it was filled by hand, where PSA leaves it empty."""
    event, name = stored.event, stored.auto_pass_field
    if (
        event is None
        or name is None
        or event.filled.get("fields") not in FILLED_BY_HAND
        or sent.fields.get(name)
    ):
        return sent
    return replace(sent, fields={**sent.fields, name: event.fields.get(name)})


def _with_product_by_hand(sent: BillingEventItem, stored: BillingEventItem | None) -> BillingEventItem:
    if (
        stored is None
        or sent.services_product is not None
        or stored.services_product_from not in FILLED_BY_HAND
    ):
        return sent
    return replace(
        sent,
        services_product=stored.services_product,
        services_product_from=stored.services_product_from,
    )


def _filled_by_psa(state: StoredState, stored: BillingEvent, sent: BillingEvent) -> Accepted | ChangeRefused:
    """The released event with what PSA's new version fills, or a refusal that names what else it would change."""
    changed = _changed_fields(stored, sent, state.moved_items)
    fields = _filled_fields(stored, sent, state.auto_pass_field)
    if fields is None:
        changed.add("fields")
    sent_items = {item.item_id: item for item in sent.items}
    head = {
        name: getattr(sent, name)
        for name in FILLABLE_FIELDS
        if getattr(stored, name) is None and getattr(sent, name) is not None
    }
    items = tuple(
        replace(item, services_product=product, services_product_from=None)
        if item.services_product is None
        and item.item_id in sent_items
        and (product := sent_items[item.item_id].services_product) is not None
        else item
        for item in stored.items
    )
    filled = set(head)
    if items != stored.items:
        filled.add("items.services_product")
    if sent.auto_pass_to_accounting and not stored.auto_pass_to_accounting:
        filled.add("auto_pass_to_accounting")
    if fields is not None and fields != stored.fields:
        filled.add("fields")
    if changed or (filled and stored.stage is not Stage.RELEASED):
        return ChangeRefused(already_released(stored.billing_event_id, stored.stage, changed or filled))
    return Accepted(
        replace(
            stored,
            version=sent.version,
            items=items,
            auto_pass_to_accounting=stored.auto_pass_to_accounting or sent.auto_pass_to_accounting,
            fields=stored.fields if fields is None else fields,
            **head,
        )
    )


def _filled_fields(
    stored: BillingEvent, sent: BillingEvent, auto_pass_field: str | None
) -> Mapping[str, object] | None:
    """The custom fields with what PSA's new version sets of the auto-pass field; None where it changes another one.

    Once set it stays set; PSA leaving empty what was filled by hand changes nothing.
    """
    if stored.fields == sent.fields:
        return stored.fields
    name = auto_pass_field
    if name is None or _without(stored.fields, name) != _without(sent.fields, name):
        return None
    if is_flag_set(stored.fields.get(name)):
        is_kept = is_flag_set(sent.fields.get(name)) or "fields" in stored.filled
        return stored.fields if is_kept else None
    return sent.fields


def _without(fields: Mapping[str, object], name: str) -> dict[str, object]:
    return {each: value for each, value in fields.items() if each != name}


def _changed_fields(
    stored: BillingEvent, sent: BillingEvent, moved_items: Mapping[str, BillingEventItem]
) -> set[str]:
    """The fields in which PSA's new version differs from a released event by more than filling what is empty."""
    changed = {name for name in FIXED_FIELDS if getattr(stored, name) != getattr(sent, name)}
    changed.update(
        name
        for name in FILLABLE_FIELDS
        if _is_changed(getattr(stored, name), getattr(sent, name), sent_by_psa=name not in stored.filled)
    )
    flag = "auto_pass_to_accounting"
    if stored.auto_pass_to_accounting and not sent.auto_pass_to_accounting and flag not in stored.filled:
        changed.add(flag)
    own_items = {item.item_id: item for item in stored.items if item.adjusts_item_id is None}
    sent_items = {item.item_id: item for item in sent.items}
    if own_items.keys() != sent_items.keys() - moved_items.keys():
        changed.add("items")
    for item_id in moved_items.keys() & sent_items.keys():
        changed.update(_differing_fields(moved_items[item_id], sent_items[item_id]))
    for item_id in own_items.keys() & sent_items.keys():
        changed.update(_changed_item_fields(own_items[item_id], sent_items[item_id]))
    return changed


def _differing_fields(stored: BillingEventItem, sent: BillingEventItem) -> set[str]:
    return {f"items.{name}" for name in FIXED_ITEM_FIELDS if getattr(stored, name) != getattr(sent, name)}


def _changed_item_fields(stored: BillingEventItem, sent: BillingEventItem) -> set[str]:
    changed = _differing_fields(stored, sent)
    sent_by_psa = stored.services_product_from is None
    if _is_changed(stored.services_product, sent.services_product, sent_by_psa=sent_by_psa):
        changed.add("items.services_product")
    return changed


def _is_changed(stored: object, sent: object, *, sent_by_psa: bool) -> bool:
    """Whether a value is changed, not filled: PSA leaving empty what somebody else filled changes nothing."""
    if stored is None or stored == sent:
        return False
    return sent is not None or sent_by_psa
