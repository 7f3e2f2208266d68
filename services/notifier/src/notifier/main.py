"""The notifier, put together."""

import structlog

from notifier.api.alerts import alerts_router
from notifier.api.deliveries import deliveries_router
from notifier.api.preferences import preferences_router
from notifier.consumers import dead_letters_line, facts_line
from notifier.domain.notifications import Person
from notifier.handlers.alert_feed import LOOK_SECONDS, AlertFeed
from notifier.handlers.pruning import prune
from notifier.handlers.sending import MAIL_OUTCOMES, SENDERS, MailSender
from notifier.handlers.telling import Audiences
from notifier.mail.rendering import Renderer
from notifier.mail.server import MailConnection
from notifier.settings import Settings
from shared.database.database import Database
from shared.service import Compose, Parts, run_service
from shared.settings import read_settings
from shared.telemetry import metrics
from shared.workers import Worker

NAME = "notifier"
_DESCRIPTION = "Tells people what has happened: mails, and alerts in the application."
_PRUNING_SECONDS = 3_600.0

log = structlog.get_logger(__name__)


def audiences_of(settings: Settings) -> Audiences:
    """Whom the settings name; how many of the addresses are not valid is logged."""
    if not settings.operator_persons:
        log.warning(
            "no operators are named: dead letters and differences in the books are told to none",
            setting="OPERATORS",
        )
    additional = settings.additional_recipients
    if additional.invalid:
        log.warning(
            "recipients are not valid mail addresses, no mail is sent to them",
            setting="ADDITIONAL_NOTIFICATION_RECIPIENTS",
            recipients=len(additional.invalid),
        )
    return Audiences(
        settings.mails,
        additional=tuple(Person(email=email) for email in additional.valid),
        operators=settings.operator_persons,
    )


def compose(settings: Settings) -> Compose:
    """How the notifier is made of its parts."""

    def parts(database: Database) -> Parts:
        for outcome in MAIL_OUTCOMES:
            metrics.count_mails(outcome, 0)
        audiences = audiences_of(settings)
        renderer = Renderer(settings.public_url, settings.support_contact)
        feed = AlertFeed(database)
        senders = [
            MailSender(
                database, MailConnection(settings.mail_server), renderer, settings.sender, settings.retries
            )
            for _ in range(SENDERS)
        ]
        return Parts(
            lines=[facts_line(audiences), dead_letters_line(audiences)],
            routers=[
                alerts_router(database, renderer, feed),
                deliveries_router(database),
                preferences_router(database),
            ],
            workers=[
                *(Worker(f"mails {number}", each.step) for number, each in enumerate(senders, start=1)),
                Worker("alert feed", feed.step, idle_seconds=LOOK_SECONDS),
                Worker("pruning", lambda: prune(database), idle_seconds=_PRUNING_SECONDS),
            ],
            description=_DESCRIPTION,
            on_stop=[feed.close],
        )

    return parts


def main() -> None:
    """Run the notifier until it is stopped."""
    settings = read_settings(Settings)
    run_service(NAME, settings, compose(settings))
