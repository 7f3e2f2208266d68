"""Who is told of what, by which channel, once per cause and recipient (domain.md section 8)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from notifier.domain.kinds import Channel, Kind, MailSettings, Role, channels_of
from notifier.domain.notices import Notice

_BY_USER: Final = "user:"
_BY_MAIL: Final = "mail:"

Choice = Mapping[Kind, frozenset[Channel]]
"""The channels that a user has chosen, for the kinds for which they have chosen any."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone to tell: a user, an address that mails may go to, or both."""

    user_id: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Addressee:
    """A person, and the reason why they are told."""

    role: Role
    person: Person


@dataclass(frozen=True, slots=True)
class Notification:
    """Something to tell, and to whom. The cause is what it is told once for."""

    cause: str
    kind: Kind
    notice: Notice
    addressees: tuple[Addressee, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """What users have chosen, by their id and by their mail address without capital letters."""

    by_user_id: Mapping[str, Choice] = field(default_factory=dict)
    by_email: Mapping[str, Choice] = field(default_factory=dict)

    def of(self, person: Person) -> Choice:
        """The person's choice; that of the user id goes before that of the address."""
        if person.user_id is not None and person.user_id in self.by_user_id:
            return self.by_user_id[person.user_id]
        return self.by_email.get((person.email or "").casefold(), {})


@dataclass(frozen=True, slots=True)
class Told:
    """Where a notification goes: the alerts' addresses and the mails' recipients, each once, in a fixed order."""

    alerts: tuple[str, ...]
    mails: tuple[str, ...]


def alert_addresses(user_id: str | None, email: str | None) -> tuple[str, ...]:
    """The addresses under which someone finds their alerts: their user id's and their mail address's."""
    addresses = []
    if user_id:
        addresses.append(_BY_USER + user_id)
    if email:
        addresses.append(_BY_MAIL + email.casefold())
    return tuple(addresses)


def tell(notification: Notification, settings: MailSettings, choices: Choices) -> Told:
    """Where a notification goes, by the table of kinds, the settings and what the users have chosen.

    Someone who is named by their address here and with their user id there is one person, who is told once.
    """
    known = _users_by_address(each.person for each in notification.addressees)
    alerts = dict[str, None]()
    mails = dict[str, str]()
    for addressee in notification.addressees:
        person = addressee.person
        if person.user_id is None and person.email is not None:
            person = known.get(person.email.casefold(), person)
        chosen = choices.of(person).get(notification.kind)
        channels = channels_of(notification.kind, addressee.role, settings, chosen=chosen)
        addresses = alert_addresses(person.user_id, person.email)
        if Channel.IN_APP in channels and addresses:
            alerts[addresses[0]] = None
        if Channel.MAIL in channels and person.email is not None:
            mails.setdefault(person.email.casefold(), person.email)
    return Told(tuple(alerts), tuple(mails.values()))


def _users_by_address(persons: Iterable[Person]) -> dict[str, Person]:
    return {
        person.email.casefold(): person
        for person in persons
        if person.user_id is not None and person.email is not None
    }
