"""What every function of the store is handed: a connection, in a transaction where it changes something."""

from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
Reader: TypeAlias = "Connection | asyncpg.Pool[Any]"
"""For reads that need no transaction: the pool will do."""


def as_json(value: object) -> str:
    """A value as JSON text, for arrays of it: a list within an array parameter would be taken for a dimension."""
    return orjson.dumps(value).decode()
