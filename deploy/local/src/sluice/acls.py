"""Who may read and write which topics: written down in deploy/acls.yaml, allowed by an administrator."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from sluice.folders import REPOSITORY

ACLS_FILE: Final = REPOSITORY / "deploy" / "acls.yaml"
_REQUEST_MILLISECONDS_MAX: Final = 60_000
_ANY_HOST: Final = "*"
_ALLOW: Final = 3


class AclError(RuntimeError):
    """The broker has refused an access control list entry, or a file does not hold any."""


class Resource(IntEnum):
    """What an entry is about, as the protocol numbers it."""

    TOPIC = 2
    GROUP = 3


class Pattern(IntEnum):
    """How the entry's name is meant."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """What is allowed; either allows to describe, too."""

    READ = 3
    WRITE = 4


@dataclass(frozen=True, slots=True)
class Acl:
    """One thing that a principal may do."""

    principal: str
    operation: Operation
    resource: Resource
    pattern: Pattern
    name: str

    def outline(self) -> dict[str, str]:
        """The entry as it is shown."""
        return {
            "principal": self.principal,
            "operation": self.operation.name.lower(),
            "resource": self.resource.name.lower(),
            "name": self.name + (_ANY_HOST if self.pattern is Pattern.PREFIXED else ""),
        }


def read_acls(path: Path = ACLS_FILE) -> list[Acl]:
    """The entries of the file. Raises AclError if it does not have the expected form, OSError if it cannot be read."""
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [
            acl
            for service, allowed in content["services"].items()
            for acl in _acls_of(service, content["principals"][service], allowed)
        ]
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise AclError(f"{path} does not say who may do what as deploy/acls.yaml does") from error


def _acls_of(service: str, principal: str, allowed: Mapping[str, Sequence[str]]) -> Iterator[Acl]:
    for topic in allowed["reads"]:
        yield Acl(principal, Operation.READ, Resource.TOPIC, Pattern.LITERAL, topic)
    for topic in allowed["writes"]:
        yield Acl(principal, Operation.WRITE, Resource.TOPIC, Pattern.LITERAL, topic)
    yield Acl(principal, Operation.READ, Resource.GROUP, Pattern.PREFIXED, f"{service}.")


async def make_acls(client_options: Mapping[str, Any], acls: Sequence[Acl]) -> None:
    """Allow all this; what is allowed already stays so. Raises AclError if the broker refuses an entry."""
    admin = AIOKafkaAdminClient(request_timeout_ms=_REQUEST_MILLISECONDS_MAX, **client_options)
    await admin.start()
    try:
        for acl in acls:
            await _make(admin, acl)
    except KafkaError as error:
        raise AclError(f"the entries could not be made: {error!r}") from error
    finally:
        await admin.close()


async def _make(admin: AIOKafkaAdminClient, acl: Acl) -> None:
    request = CreateAclsRequest(
        acl.resource, acl.name, acl.pattern, acl.principal, _ANY_HOST, acl.operation, _ALLOW
    )
    # The client has no call of its own for this.
    answer = await admin._send_to_controller(request)  # noqa: SLF001
    for code, message in answer.creation_responses:
        if code:
            raise AclError(f"{acl.outline()} was refused: {for_code(code).__name__} {message or ''}".strip())
