"""Apache Kafka as it should be run in earnest: TLS, SCRAM, and an authorizer that refuses what nobody has allowed."""

import base64
import ipaddress
import subprocess
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sluice.infrastructure import kafka
from sluice.infrastructure.kafka import ApacheKafka, broker_properties
from sluice.infrastructure.ports import LOOPBACK, free_port

PASSWORD: Final = "only for this test"
MECHANISM: Final = "SCRAM-SHA-512"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own, signed by itself; and key and certificate as the broker wants them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sluice-test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority, keystore = folder / "ca.pem", folder / "keystore.pem"
    authority.write_bytes(certificate)
    keystore.write_bytes(private + certificate)
    return authority, keystore


class SecureKafka(ApacheKafka):
    """A broker with a listener for everybody who can prove who they are; the other one is the administrator's."""

    def __init__(self, *arguments: Any, users: list[str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._users = users
        self.secure_port = free_port()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.authority, self._keystore = make_certificate(self._folder)

    def settings_of(self, user: str) -> dict[str, str]:
        """What a service's environment says to sign in as this user."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.secure_port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": MECHANISM,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CAFILE": str(self.authority),
        }

    def _properties(self, port: int, controller_port: int, logs: str) -> Mapping[str, str]:
        plain = broker_properties(port, controller_port, logs)
        secure = f"SASL_SSL://{LOOPBACK}:{self.secure_port}"
        return plain | {
            "listeners": f"{plain['listeners']},{secure}",
            "advertised.listeners": f"{plain['advertised.listeners']},{secure}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            "sasl.enabled.mechanisms": MECHANISM,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "listener.name.sasl_ssl.ssl.keystore.type": "PEM",
            "listener.name.sasl_ssl.ssl.keystore.location": str(self._keystore),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
        }

    def _start_on(self, port: int, controller_port: int) -> None:
        kafka.broker_properties, plain = self._properties, kafka.broker_properties  # type: ignore[assignment]
        try:
            super()._start_on(port, controller_port)
        finally:
            kafka.broker_properties = plain

    def _format(self, logs: Path, properties: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        users = [
            word
            for user in self._users
            for word in ("--add-scram", f"{MECHANISM}=[name={user},password={PASSWORD}]")
        ]
        command = self._java_command("-Xmx128m", log=self._folder / "format.log")
        command += ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
        subprocess.run([*command, *users], check=True, capture_output=True, timeout=120)
