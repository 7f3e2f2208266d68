"""The notifier's settings: a wrong or missing one stops the service with a sentence that names it."""

import pytest

from notifier.domain.notifications import Person
from notifier.settings import Settings
from shared.settings import read_settings

GOOD = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "DATABASE_URL": "postgresql://127.0.0.1/none",
    "OIDC_ISSUER": "http://issuer.example",
    "SMTP_URL": "smtp://127.0.0.1:1025",
    "MAIL_FROM": "sluice@localhost",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OPERATORS", "ADDITIONAL_NOTIFICATION_RECIPIENTS", "SEND_SUCCESS_EMAIL", "HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_what_is_not_said_is_as_the_contract_has_it(environment: pytest.MonkeyPatch) -> None:
    settings = read_settings(Settings)
    assert settings.http_port == 8104
    assert (settings.mails.send_failure_email, settings.mails.send_success_email) == (True, False)
    assert settings.operator_persons == ()
    assert settings.additional_recipients.valid == ()
    assert (settings.retries.hours, settings.mail_server.ca_file) == (96, None)


def test_operators_are_addresses_or_users(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPERATORS", "ops@example.com; chief, night@localhost")
    assert read_settings(Settings).operator_persons == (
        Person(email="ops@example.com"),
        Person(user_id="chief"),
        Person(email="night@localhost"),
    )


@pytest.mark.parametrize(
    "name, value",
    [
        ("SMTP_URL", None),
        ("SMTP_URL", "http://127.0.0.1"),
        ("MAIL_FROM", None),
        ("MAIL_FROM", "nobody"),
        ("OPERATORS", "ops@example.com;broken@"),
        ("SEND_SUCCESS_EMAIL", "perhaps"),
        ("MAIL_RETRY_HOURS", "0"),
        ("SMTP_SSL_CAFILE", "/no/such/file"),
        ("SMTP_SSL_CAFILE", __file__),
    ],
)
def test_a_wrong_or_missing_one_is_named(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str | None
) -> None:
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read_settings(Settings)
    assert ended.value.code == 2
    assert f"The setting {name} is" in capsys.readouterr().err
