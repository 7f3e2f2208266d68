"""Where SMTP_URL says that mails go (contract.md section 4)."""

import pytest

from notifier.mail.server import MailServer, mail_server_of


@pytest.mark.parametrize(
    "url, server",
    [
        ("smtp://mail.example", MailServer("mail.example", 25)),
        ("smtp://mail.example:2525/", MailServer("mail.example", 2525)),
        ("smtps://mail.example", MailServer("mail.example", 465, is_tls=True)),
        ("smtp://[::1]:1025", MailServer("::1", 1025)),
        (
            "smtp://u%40x:p%3Aw@mail.example:587",
            MailServer("mail.example", 587, needs_starttls=True, username="u@x", password="p:w"),
        ),
        (
            "smtps://u:p@mail.example",
            MailServer("mail.example", 465, is_tls=True, username="u", password="p"),
        ),
        ("smtp://u:p@127.0.0.1:1025", MailServer("127.0.0.1", 1025, username="u", password="p")),
    ],
)
def test_servers(url: str, server: MailServer) -> None:
    assert mail_server_of(url) == server


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "http://mail.example", "smtp://", "smtp://m:99999", "smtp://m/x", "smtp://m?tls=1"],
)
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own sentences are among them
        mail_server_of(url)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(mail_server_of("smtp://u:secret@mail.example"))
