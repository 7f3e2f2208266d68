"""What every function of the store is handed: a connection, in a transaction where it changes something."""

from typing import Any, TypeAlias, Union

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# asyncpg's classes take parameters for the type checker only, so they are named as text.
Connection: TypeAlias = Union["asyncpg.Connection[Any]", "PoolConnectionProxy[Any]"]

Reader: TypeAlias = Union[Connection, "asyncpg.Pool[Any]"]
"""For reads that need no transaction: the pool will do."""
