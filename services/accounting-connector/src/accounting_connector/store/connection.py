"""What every function of the store is handed: a connection, in a transaction where it changes something."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
Reader: TypeAlias = "Connection | asyncpg.Pool[Any]"
"""For reads that need no transaction: the pool will do."""


def json_list(values: Sequence[Any]) -> orjson.Fragment:
    """A list as one element of a `jsonb[]` parameter, where the driver would take it for a dimension of the array."""
    return orjson.Fragment(orjson.dumps(values))
