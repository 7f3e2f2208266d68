"""What every function of the store is handed: a connection, in a transaction where it changes something."""

from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
Reader: TypeAlias = "Connection | asyncpg.Pool[Any]"
"""For reads that need no transaction: the pool will do."""
