"""Settings that every service takes from its environment (contract.md section 4)."""

import os
import re
import socket
import sys
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Settings = TypeVar("Settings", bound="ServiceSettings")

_HTTP_URL = TypeAdapter(AnyHttpUrl)
_BROKER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):[0-9]{1,5}")


def _known_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a known time zone, such as Europe/London") from None
    return name


def _http_url(text: str) -> str:
    _HTTP_URL.validate_python(text)
    return text.rstrip("/")


def _issuer(text: str) -> str:
    # As it stands, for tokens name it letter by letter.
    _HTTP_URL.validate_python(text)
    return text


def _brokers(text: str) -> str:
    if not all(_BROKER.fullmatch(part) for part in text.split(",")):
        raise ValueError("should be host:port, several with commas")
    return text


def _database_address(url: SecretStr) -> SecretStr:
    try:
        scheme = urlsplit(url.get_secret_value()).scheme
    except ValueError:
        scheme = ""
    if scheme not in {"postgresql", "postgres"}:
        raise ValueError(
            "should be the address of a PostgreSQL database, postgresql://user:password@host/name"
        )
    return url


def _keys_address(url: str) -> str:
    if urlsplit(url).scheme not in {"https", "http", "file"}:
        raise ValueError("should be an https, http or file address")
    return url


def _file(path: str) -> str:
    if not Path(path).is_file():
        raise ValueError("is not a file")
    return path


File = Annotated[str, AfterValidator(_file)]

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
"""A list in one environment variable, separated by commas; the field's own validator splits it."""


class ServiceSettings(BaseSettings):
    """What all services need. A wrong or missing one stops the service with a sentence that names it."""

    model_config = SettingsConfigDict(
        extra="ignore", case_sensitive=False, frozen=True, hide_input_in_errors=True
    )

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_brokers)]
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_cafile: File | None = None
    kafka_ssl_certfile: File | None = None
    kafka_ssl_keyfile: File | None = None
    kafka_idempotent_producer: bool = True
    kafka_session_timeout_seconds: Annotated[int, Field(ge=6, le=1800)] = 45
    database_url: Annotated[SecretStr, AfterValidator(_database_address)]
    database_connections_max: Annotated[int, Field(ge=2, le=50)] = 8
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)]
    instance_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = Field(
        default_factory=socket.gethostname
    )
    oidc_issuer: Annotated[str, AfterValidator(_issuer)]
    oidc_audience: Annotated[str, Field(min_length=1)] = "sluice"
    oidc_jwks_url: Annotated[str, AfterValidator(_keys_address)] | None = None
    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(_http_url)] | None = None
    public_url: Annotated[str, AfterValidator(_http_url)] = "http://127.0.0.1:8101"
    support_contact: str = "your administrator"
    business_timezone: Annotated[str, AfterValidator(_known_time_zone)] = "UTC"
    line_bad_share_max: Annotated[float, Field(gt=0, le=1)] = 0.5
    command_wait_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    inbox_days: Annotated[int, Field(ge=8, le=3650)] = 35
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_mechanism and self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are needed with SASL"
            )
        return self

    @property
    def time_zone(self) -> ZoneInfo:
        """The time zone whose days are business days."""
        return ZoneInfo(self.business_timezone)


def secrets_folder() -> Path | None:
    """Where settings may stand in files, as containers are given their secrets; None where nothing is said."""
    folder = os.environ.get("SECRETS_DIR")
    return None if folder is None else Path(folder)


def read_settings(settings: type[Settings]) -> Settings:
    """Read the environment, or end the process with exit code 2 and a sentence for each wrong or missing setting.

    A setting may also stand in a file of its name in the folder SECRETS_DIR; the environment goes before it.
    """
    folder = secrets_folder()
    if folder is not None and not folder.is_dir():
        sys.stderr.write("The setting SECRETS_DIR is wrong: is not a folder.\n")
        sys.exit(2)
    try:
        return settings(_secrets_dir=folder)
    except ValidationError as error:
        end_for(error)


def end_for(error: ValidationError) -> NoReturn:
    """End the process with exit code 2 and a sentence for each wrong or missing setting."""
    for problem in error.errors():
        name = "_".join(str(part) for part in problem["loc"]).upper()
        if problem["type"] == "missing":
            sentence = f"The setting {name} is missing."
        elif name:
            sentence = f"The setting {name} is wrong: {problem['msg'].removeprefix('Value error, ')}."
        else:
            sentence = f"The settings do not fit together: {problem['msg'].removeprefix('Value error, ')}."
        sys.stderr.write(sentence + "\n")
    sys.exit(2)
