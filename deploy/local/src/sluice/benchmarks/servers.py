"""The servers that a benchmark stands on, and databases of its own in them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
from pydantic import SecretStr

from shared.settings import ServiceSettings
from sluice.databases import migrate_services


@dataclass(frozen=True, slots=True)
class Servers:
    """A broker that has the topics, and a database server with its administrator's address."""

    bootstrap_servers: str
    is_idempotent: bool
    administrator_url: str

    def settings(self) -> ServiceSettings:
        """What the parts of a service that a benchmark runs by itself are set to."""
        return ServiceSettings(
            kafka_bootstrap_servers=self.bootstrap_servers,
            kafka_idempotent_producer=self.is_idempotent,
            database_url=SecretStr(self.administrator_url),
            oidc_issuer="http://none",
            http_port=0,
        )


@asynccontextmanager
async def fresh_database(administrator_url: str) -> AsyncIterator[str]:
    """A database with the empty schemas of all services, dropped at the end; gives its administrator's address."""
    name = f"bench_{secrets.token_hex(6)}"
    administrator = await asyncpg.connect(administrator_url)
    try:
        await administrator.execute(f'create database "{name}"')
        url = urlsplit(administrator_url)._replace(path=f"/{name}").geturl()
        try:
            await migrate_services(url, {})
            yield url
        finally:
            await administrator.execute(f'drop database "{name}" with (force)')
    finally:
        await administrator.close()
