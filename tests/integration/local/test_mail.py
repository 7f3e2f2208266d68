"""The mail catcher keeps what it is given, shows it, and runs no markup from it."""

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest

from sluice.infrastructure.mail import MailCatcher
from sluice.state import ephemeral_state


@pytest.fixture(scope="module")
def catcher() -> Iterator[MailCatcher]:
    state = ephemeral_state()
    state.prepare()
    made = MailCatcher(state.data / "mail", state.run)
    made.start()
    yield made
    made.stop()
    state.remove()


def test_a_mail_is_listed_and_shown_without_its_markup_being_run(catcher: MailCatcher) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = (
        "sluice@localhost",
        "ap@example.com",
        "Rechnung für <b>März</b>",
    )
    mail.set_content("Betrag: 100,00 €")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="invoice.pdf")
    with smtplib.SMTP("127.0.0.1", catcher.smtp_port) as client:
        client.send_message(mail)
    (caught,) = httpx.get(
        f"{catcher.page_url}/mails", params={"recipient": "ap@example.com"}, timeout=60
    ).json()
    assert caught["subject"] == "Rechnung für <b>März</b>"
    assert caught["text"].strip() == "Betrag: 100,00 €"
    assert caught["attachments"] == ["invoice.pdf"]
    page = httpx.get(f"{catcher.page_url}/", timeout=60).text
    assert "Rechnung für &lt;b&gt;März&lt;/b&gt;" in page
    source = httpx.get(f"{catcher.page_url}/mails/{caught['number']}", timeout=60)
    assert source.headers["content-type"].startswith("text/plain")


def test_a_mail_that_is_not_kept_is_not_found(catcher: MailCatcher) -> None:
    assert httpx.get(f"{catcher.page_url}/mails/999", timeout=60).status_code == 404
