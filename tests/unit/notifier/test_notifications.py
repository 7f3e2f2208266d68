"""Who is told of a notification, and how often (domain.md section 8)."""

from hypothesis import given
from hypothesis import strategies as some

from notifier.domain.kinds import Channel, Kind, MailSettings, Role
from notifier.domain.notices import REASONS_MAX, Notice, first_reasons, one_line
from notifier.domain.notifications import (
    Addressee,
    Choices,
    Notification,
    Person,
    Told,
    alert_addresses,
    tell,
)

NOTICE = Notice("title", "text", "/pages/alerts")
STARTER = Addressee(Role.STARTER, Person("u1", "u1@x.example"))


def additional(email: str) -> Addressee:
    return Addressee(Role.ADDITIONAL, Person(email=email))


def told(*addressees: Addressee, kind: Kind = Kind.PROCESS_RUN_ENDED, choices: Choices | None = None) -> Told:
    return tell(Notification("cause", kind, NOTICE, addressees), MailSettings(), choices or Choices())


def test_a_starter_gets_both_and_an_additional_recipient_a_mail() -> None:
    assert told(STARTER, additional("a@x.example")) == Told(("user:u1",), ("u1@x.example", "a@x.example"))


def test_the_same_person_in_two_roles_is_told_once() -> None:
    assert told(STARTER, additional("U1@X.example")) == Told(("user:u1",), ("u1@x.example",))
    recipient = Addressee(Role.ALERT_RECIPIENT, Person(email="U1@x.example"))
    both = told(recipient, STARTER, kind=Kind.CAP_THRESHOLD_CROSSED)
    assert both == Told(("user:u1",), ("u1@x.example",))


def test_two_users_with_one_address_each_have_their_alert_and_share_a_mail() -> None:
    other = Addressee(Role.STARTER, Person("u2", "u1@x.example"))
    assert told(STARTER, other) == Told(("user:u1", "user:u2"), ("u1@x.example",))


def test_who_cannot_be_reached_is_not_told() -> None:
    assert told(Addressee(Role.STARTER, Person())) == Told((), ())
    assert told(Addressee(Role.STARTER, Person(user_id="u1"))) == Told(("user:u1",), ())


def test_a_choice_holds_for_the_user_and_for_the_address() -> None:
    none = {Kind.PROCESS_RUN_ENDED: frozenset[Channel]()}
    assert told(STARTER, choices=Choices(by_user_id={"u1": none})) == Told((), ())
    assert told(STARTER, choices=Choices(by_email={"u1@x.example": none})) == Told((), ())
    assert told(additional("U1@x.example"), choices=Choices(by_email={"u1@x.example": none})) == Told((), ())
    ones_own = Choices(by_user_id={"u1": {}}, by_email={"u1@x.example": none})
    assert told(STARTER, choices=ones_own) == Told(("user:u1",), ("u1@x.example",))


def test_alerts_are_found_by_user_and_by_address_without_capital_letters() -> None:
    assert alert_addresses("u1", "U1@X.example") == ("user:u1", "mail:u1@x.example")
    assert alert_addresses("mail:u1@x.example", None) == ("user:mail:u1@x.example",)
    assert alert_addresses(None, None) == ()


def test_the_first_reasons_are_shown_and_the_rest_counted() -> None:
    assert first_reasons([]) == ((), 0)
    assert first_reasons(["a", "b"]) == (("a", "b"), 0)
    assert first_reasons(["a"], reasons_in_all=5) == (("a",), 4)
    shown, more = first_reasons([str(number) for number in range(25)])
    assert (len(shown), more) == (REASONS_MAX, 25 - REASONS_MAX)


@given(some.text())
def test_a_line_has_no_line_end_and_an_end(text: str) -> None:
    line = one_line(text)
    assert line.isprintable() or all(character.isprintable() or character == " " for character in line)
    assert len(line) <= 500
    assert one_line(line) == line
