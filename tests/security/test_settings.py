"""A wrong or missing setting stops a service at start, with a sentence that names it and shows no secret."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from shared.service import schema_of
from shared.settings import read_settings
from sluice.compositions import COMPOSITIONS

SECRET: Final = "hunter2-Zanzibar"

COMMON: Final = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "DATABASE_URL": f"postgresql://sluice:{SECRET}@127.0.0.1:1/none",
    "OIDC_ISSUER": "http://issuer.example",
}
MAIL: Final = {"SMTP_URL": f"smtp://user:{SECRET}@127.0.0.1:1", "MAIL_FROM": "billing@example.com"}
ENVIRONMENTS: Final = {
    "release": COMMON,
    "accounting_connector": COMMON,
    "billing_runs": COMMON,
    "notifier": COMMON | MAIL,
}

WRONG_IN_ALL: Final[dict[str, str]] = {
    "KAFKA_BOOTSTRAP_SERVERS": "x",
    "KAFKA_SECURITY_PROTOCOL": "TELEPATHY",
    "DATABASE_URL": f"mysql://sluice:{SECRET}@127.0.0.1/none",
    "OIDC_ISSUER": "issuer.example",
    "OIDC_AUDIENCE": "",
    "HTTP_PORT": "99999",
    "BUSINESS_TIMEZONE": "Mars/Olympus",
    "PUBLIC_URL": "sluice",
    "LOG_LEVEL": "loud",
    "OIDC_JWKS_URL": "ftp://issuer.example/jwks",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "collector",
    "KAFKA_SSL_CAFILE": "/no/such/file",
}
WRONG_IN_ONE: Final[dict[str, dict[str, str]]] = {
    "release": {
        "RELEASE_BATCH_SIZE": "0",
        "VALIDATION_LIMIT": "many",
        "DISABLE_BILLING_CLOSER_TO_CAP": "perhaps",
        "ON_CHUNK_FAILURE": "ignore",
        "OPTIONAL_ON_RELEASE": "account,colour",
        "COMPANY_SOURCE": "moon",
    },
    "accounting_connector": {
        "ZERO_AMOUNT_POLICY": "shrug",
        "MAX_LINES": "0",
        "SYNC_ITEM_LIMIT": "-1",
        "PAYMENT_DAYS": "-1",
        "PROCESS_RUN_DAYS": "0",
    },
    "billing_runs": {"ZERO_AMOUNT_POLICY": "shrug"},
    "notifier": {
        "SMTP_URL": f"ftp://user:{SECRET}@mail",
        "MAIL_FROM": "nobody",
        "SEND_FAILURE_EMAIL": "perhaps",
        "SEND_SUCCESS_EMAIL": "perhaps",
        "OPERATORS": "not@an address",
    },
}


SETTINGS: Final = {schema_of(composition.name): composition.settings for composition in COMPOSITIONS}

MISSING: Final = [(module, name) for module, environment in ENVIRONMENTS.items() for name in environment]
WRONG: Final = [
    (module, name, value)
    for module in ENVIRONMENTS
    for name, value in (WRONG_IN_ALL | WRONG_IN_ONE[module]).items()
]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Reads a service's settings from an environment that has these names changed; its sentences."""

    def read(module: str, **changed: str | None) -> list[str]:
        for name, value in (ENVIRONMENTS[module] | changed).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            read_settings(SETTINGS[module])
        assert ended.value.code == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert SECRET not in said.err
        return said.err.splitlines()

    return read


@pytest.mark.parametrize(("module", "name"), MISSING)
def test_a_missing_setting_is_named(refused: Callable[..., list[str]], module: str, name: str) -> None:
    assert refused(module, **{name: None}) == [f"The setting {name} is missing."]


@pytest.mark.parametrize(("module", "name", "value"), WRONG)
def test_a_wrong_setting_is_named(
    refused: Callable[..., list[str]], module: str, name: str, value: str
) -> None:
    (sentence,) = refused(module, **{name: value})
    assert sentence.startswith(f"The setting {name} is wrong: ")
    assert sentence.endswith(".")


@pytest.mark.parametrize("module", ENVIRONMENTS)
def test_a_setting_may_stand_in_a_file(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (ENVIRONMENTS[module] | {"OIDC_AUDIENCE": "from the file"}).items():
        (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    assert read_settings(SETTINGS[module]).oidc_audience == "from the file"
    monkeypatch.setenv("OIDC_AUDIENCE", "from the environment")
    settings = read_settings(SETTINGS[module])
    assert settings.oidc_audience == "from the environment"
    assert settings.database_url.get_secret_value() == COMMON["DATABASE_URL"]


@pytest.mark.parametrize("module", ENVIRONMENTS)
def test_a_wrong_setting_in_a_file_is_named(
    refused: Callable[..., list[str]], module: str, tmp_path: Path
) -> None:
    (tmp_path / "DATABASE_URL").write_text(f"mysql://sluice:{SECRET}@127.0.0.1/none", encoding="utf-8")
    (sentence,) = refused(module, SECRETS_DIR=str(tmp_path), DATABASE_URL=None)
    assert sentence.startswith("The setting DATABASE_URL is wrong: ")
    (sentence,) = refused(module, SECRETS_DIR=str(tmp_path / "nowhere"))
    assert sentence == "The setting SECRETS_DIR is wrong: is not a folder."


@pytest.mark.parametrize("module", ENVIRONMENTS)
def test_settings_that_do_not_fit_together_are_named(refused: Callable[..., list[str]], module: str) -> None:
    (sentence,) = refused(module, KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_USERNAME="me")
    assert "KAFKA_SASL_PASSWORD" in sentence


@pytest.mark.parametrize("module", ENVIRONMENTS)
def test_the_process_ends_with_2_and_says_all_that_is_wrong(module: str) -> None:
    wrong = WRONG_IN_ALL | WRONG_IN_ONE[module] | {"OIDC_ISSUER": None}
    environment = {"PATH": os.environ["PATH"]} | {
        name: value for name, value in (ENVIRONMENTS[module] | wrong).items() if value is not None
    }
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    sentences = ended.stderr.splitlines()
    assert {sentence.split()[2] for sentence in sentences} == set(wrong)
    assert all(sentence.startswith("The setting ") and sentence.endswith(".") for sentence in sentences)
    assert SECRET not in ended.stderr
