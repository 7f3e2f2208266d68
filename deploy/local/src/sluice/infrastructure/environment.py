"""Servers that the environment names: used as they are, neither started nor stopped."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedBroker:
    """The broker at `KAFKA_BOOTSTRAP_SERVERS`; services and commands read how to sign in from the environment too."""

    bootstrap_servers: str
    is_idempotent: bool = True
    description: str = "named in the environment (KAFKA_BOOTSTRAP_SERVERS)"
    state: str = "not ours"

    def start(self) -> None:
        """It is not ours to start."""

    def stop(self) -> None:
        """It is not ours to stop."""

    def is_running(self) -> bool:
        """It is not ours to watch."""
        return True


@dataclass(frozen=True, slots=True)
class NamedDatabase:
    """The database at `DATABASE_URL`, whose user may create roles and schemas."""

    administrator_url: str
    description: str = "named in the environment (DATABASE_URL)"
    state: str = "not ours"

    def start(self) -> None:
        """It is not ours to start."""

    def stop(self) -> None:
        """It is not ours to stop."""

    def is_running(self) -> bool:
        """It is not ours to watch."""
        return True


@dataclass(frozen=True, slots=True)
class NamedMail:
    """The mail server at `SMTP_URL`."""

    smtp_url: str
    page_url: str | None = None
    description: str = "named in the environment (SMTP_URL)"
    state: str = "not ours"

    def start(self) -> None:
        """It is not ours to start."""

    def stop(self) -> None:
        """It is not ours to stop."""

    def is_running(self) -> bool:
        """It is not ours to watch."""
        return True


def named_broker() -> NamedBroker | None:
    """The broker that the environment names, if it does."""
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return NamedBroker(servers) if servers else None


def named_database() -> NamedDatabase | None:
    """The database that the environment names, if it does."""
    url = os.environ.get("DATABASE_URL")
    return NamedDatabase(url) if url else None


def named_mail() -> NamedMail | None:
    """The mail server that the environment names, if it does."""
    url = os.environ.get("SMTP_URL")
    return NamedMail(url) if url else None
