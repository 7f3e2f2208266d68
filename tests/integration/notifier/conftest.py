"""A database of the notifier, a mail server, and one replica on both."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration.notifier.driver import NotifierDriver, settings_of
from integration.notifier.mail_server import HOST, MailServer
from shared.database.database import Database
from support.databases import FreshDatabase


@pytest.fixture
def service() -> str:
    return "notifier"


@pytest.fixture
async def store(database: FreshDatabase) -> AsyncIterator[Database]:
    """The service's pool."""
    store = Database(database.url, schema=database.schema, application_name="tests", connections_max=16)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    """A mail server that takes everything until it is told otherwise."""
    async with MailServer() as server:
        yield server


@pytest.fixture
def notifier(store: Database, mail_server: MailServer) -> NotifierDriver:
    """One replica with the default settings and an operator."""
    return NotifierDriver(store, settings_of(mail_server.url, operators="ops@example.com"))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """The files of a certificate for the loopback, signed by itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(files[0]), str(files[1])
