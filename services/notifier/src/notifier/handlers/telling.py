"""Telling people: alerts and mails, once per cause and recipient (domain.md section 8)."""

from collections.abc import Sequence
from dataclasses import dataclass

from notifier.domain.kinds import MailSettings
from notifier.domain.notifications import Person, tell
from notifier.store.notifications import (
    Caused,
    insert_alerts,
    insert_deliveries,
    lock_notifications,
    save_notifications,
)
from notifier.store.preferences import load_choices
from shared.database.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Audiences:
    """Whom and how this deployment tells: its mail settings, its additional recipients, its operators."""

    mails: MailSettings
    additional: tuple[Person, ...] = ()
    operators: tuple[Person, ...] = ()


async def tell_people(
    work: UnitOfWork, caused: Sequence[Caused], mails: MailSettings, *, counting_up: bool = False
) -> None:
    """Write the alerts and queue the mails of these notifications; what was told before is not told again.

    `counting_up` replaces the content of what was told before: it counts on. Locks the notifications.
    """
    if not caused:
        return
    await lock_notifications(work.connection)
    persons = [each.person for one in caused for each in one.notification.addressees]
    choices = await load_choices(
        work.connection,
        user_ids={person.user_id for person in persons if person.user_id is not None},
        emails={person.email.casefold() for person in persons if person.email is not None},
    )
    told: dict[str, Caused] = {}
    alerts: list[tuple[str, str]] = []
    deliveries = []
    for each in caused:
        cause = each.notification.cause
        addressed = tell(each.notification, mails, choices)
        if cause in told or not (addressed.alerts or addressed.mails):
            continue
        told[cause] = each
        alerts += [(cause, address) for address in addressed.alerts]
        deliveries += [(cause, recipient, each.mails_due_at) for recipient in addressed.mails]
    if told:
        await save_notifications(work.connection, list(told.values()), counting_up=counting_up)
        await insert_alerts(work.connection, alerts)
        await insert_deliveries(work.connection, deliveries)
