"""Settings of the notifier (contract.md section 4)."""

import ssl
from dataclasses import replace
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from notifier.domain.kinds import MailSettings
from notifier.domain.notices import one_line
from notifier.domain.notifications import Person
from notifier.domain.recipients import Recipients, address_part, recipients_of, split_list
from notifier.domain.retries import RetrySchedule
from notifier.mail.message import Sender, own_address, sender_of
from notifier.mail.server import MailServer, mail_server_of
from shared.settings import File, ServiceSettings


class Settings(ServiceSettings):
    """What the notifier takes from its environment.

    `operators` are mail addresses, told by mail and in the application, or user ids, told in the application only;
    both lists are separated by `;` or `,`.
    """

    http_port: Annotated[int, Field(ge=0, le=65535)] = 8104
    smtp_url: SecretStr
    smtp_ssl_cafile: File | None = None
    mail_from: str
    mail_retry_hours: Annotated[int, Field(ge=1, le=720)] = 96
    send_failure_email: bool = True
    send_success_email: bool = False
    additional_notification_recipients: str = ""
    operators: str = ""

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, url: SecretStr) -> SecretStr:
        mail_server_of(url.get_secret_value())
        return url

    @field_validator("smtp_ssl_cafile")
    @classmethod
    def _holds_certificates(cls, file: str | None) -> str | None:
        if file is not None:
            try:
                ssl.create_default_context(cafile=file)
            except ssl.SSLError:
                raise ValueError("should be a file of certificates in PEM") from None
        return file

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, text: str) -> str:
        sender_of(text)
        return text

    @field_validator("operators")
    @classmethod
    def _are_operators(cls, text: str) -> str:
        for part in split_list(text):
            _operator(part)
        return text

    @property
    def mail_server(self) -> MailServer:
        """Where mails are handed over."""
        server = mail_server_of(self.smtp_url.get_secret_value())
        return replace(server, ca_file=self.smtp_ssl_cafile)

    @property
    def retries(self) -> RetrySchedule:
        """When a mail that was not taken is tried again."""
        return RetrySchedule(hours=self.mail_retry_hours)

    @property
    def sender(self) -> Sender:
        """Whom mails are from."""
        return sender_of(self.mail_from)

    @property
    def mails(self) -> MailSettings:
        """Which ends of release jobs are mailed."""
        return MailSettings(self.send_failure_email, self.send_success_email)

    @property
    def additional_recipients(self) -> Recipients:
        """Who gets mails beside those who are told anyway."""
        return recipients_of(self.additional_notification_recipients)

    @property
    def operator_persons(self) -> tuple[Person, ...]:
        """Who is told of dead letters and of books that do not balance."""
        return tuple(_operator(part) for part in split_list(self.operators))


def _operator(text: str) -> Person:
    if "@" not in text:
        return Person(user_id=text)
    try:
        return Person(email=own_address(address_part(text)))
    except ValueError:
        raise ValueError(f"{one_line(text)} is neither a mail address nor a user id") from None
