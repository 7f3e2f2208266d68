"""The service's own settings (contract.md section 4)."""

import pytest

from release.domain.settings import OnChunkFailure
from release.domain.sources import CompanySource
from release.settings import Settings
from shared.settings import read_settings

NEEDED = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "DATABASE_URL": "postgresql://sluice_release@127.0.0.1/sluice",
    "OIDC_ISSUER": "http://127.0.0.1:1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read_settings(Settings)
    assert (settings.http_port, settings.validation_limit) == (8101, 200)
    assert settings.company_source is CompanySource.PROJECT
    release = settings.release
    assert release.release_batch_size == 200
    assert release.disable_billing_closer_to_cap is False
    assert release.on_chunk_failure is OnChunkFailure.FAIL
    assert release.optional_on_release == frozenset()


def test_what_is_optional_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIONAL_ON_RELEASE", "account, services_product")
    monkeypatch.setenv("ON_CHUNK_FAILURE", "isolate")
    monkeypatch.setenv("COMPANY_SOURCE", "region")
    settings = read_settings(Settings)
    assert settings.release.optional_on_release == {"account", "services_product"}
    assert settings.release.on_chunk_failure is OnChunkFailure.ISOLATE
    assert settings.company_source is CompanySource.REGION


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPTIONAL_ON_RELEASE", "colour"),
        ("ON_CHUNK_FAILURE", "panic"),
        ("COMPANY_SOURCE", "moon"),
        ("RELEASE_BATCH_SIZE", "0"),
        ("VALIDATION_LIMIT", "many"),
        ("INCOMPLETE_ALERT_DAYS", "0"),
    ],
)
def test_a_wrong_one_stops_the_service_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read_settings(Settings)
    assert ended.value.code == 2
    assert name in capsys.readouterr().err
