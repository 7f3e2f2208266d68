"""Whose fault an error is: the classes of PostgreSQL's errors, each decided (decision record 0020).

Only what a record itself can cause may put it aside. What hits every record alike, such as a column that a migration
has yet to add or a grant that a restore has lost, is ours: it stops the work, is told, and is tried again until it is
cured, with nothing lost.
"""

from enum import StrEnum
from typing import Final

import asyncpg

from shared.database.unit_of_work import MessageTooLargeError


class Fault(StrEnum):
    """Whose fault an error is, and so what becomes of the work that met it."""

    CONFLICT = "conflict"
    """Two transactions met, or a plan is older than a table: the same work, done again at once, will pass."""
    TRANSIENT = "transient"
    """The database is away, starting, full, or read-only for now: the same work will pass later."""
    RECORD = "record"
    """A value that the database cannot take, or a message that no reader would: no later try will pass."""
    DOUBTFUL = "doubtful"
    """A rule of the schema refused what our code made of the record, or our code broke over it. One record may do that
    alone, but so may a fault that all of them meet: whoever puts it aside sees first that others pass."""
    OURS = "ours"
    """The schema, its grants, the server's settings, or our statements: every record meets it, and none is to blame."""


CONFLICT_STATES: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialisation, deadlock, lock timeout."""

TRANSIENT_STATES: Final = frozenset(
    {
        "08",  # the connection
        "25006",  # read-only: the server before or after a failover
        "25P03",  # idle in transaction for too long: this process was held up
        "25P04",  # the transaction took too long
        "28",  # signing in: a password or a role that is being changed
        "40",  # rolled back
        "53",  # full, out of memory, too many connections
        "55006",  # in use
        "57",  # stopped by an operator, shutting down, starting, cancelled
        "72",  # the snapshot was too old
    }
)
RECORD_STATES: Final = frozenset(
    {
        "22001",  # a text that is too long
        "22003",  # a number that is out of range
        "22007",  # no date or time
        "22008",  # a date or time that is out of range
        "22012",  # a value of zero, divided by
        "22015",  # a span of time that is out of range
        "22021",  # a character that the encoding does not have: NUL
        "22P02",  # a text that is no value of the type: bad JSON
        "22P05",  # a character that cannot be translated: NUL in JSON
    }
)
"""Data exceptions that a value alone can cause. Others of class 22 say that statement and type do not fit."""

DOUBTFUL_STATES: Final = frozenset({"23503", "23505", "23514"})
"""Foreign key, unique, check. A missing value (23502) is ours: models give each, so the schema has a column more."""

_STALE_PLANS: Final = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""A migration has changed a table under a prepared statement; asyncpg has dropped its statements, and prepares anew."""

_VALUES: Final = (MessageTooLargeError, OverflowError, UnicodeError)
"""What a value alone can cause before it has reached the server: rows that are copied are encoded here."""

_AWAY: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_OURS: Final = (MemoryError, ImportError)


def fault_of(error: BaseException) -> Fault:
    """Whose fault an error is."""
    if isinstance(error, _STALE_PLANS):
        return Fault.CONFLICT
    if type(error) is asyncpg.DataError and isinstance(error.__cause__, Exception):
        # asyncpg could not encode a value: it is out of its type's range, or of another type than the column is now.
        cause = error.__cause__
        return Fault.OURS if isinstance(cause, TypeError | AttributeError) else fault_of(cause)
    if isinstance(error, asyncpg.PostgresError):
        return fault_of_state(error.sqlstate)
    if isinstance(error, _VALUES):
        return Fault.RECORD
    if isinstance(error, _AWAY):
        return Fault.TRANSIENT
    return Fault.OURS if isinstance(error, _OURS) else Fault.DOUBTFUL


def fault_of_state(sqlstate: str | None) -> Fault:
    """Whose fault an error of the server is, by its five characters; what stands in no list is ours."""
    for states, fault in (
        (CONFLICT_STATES, Fault.CONFLICT),
        (RECORD_STATES, Fault.RECORD),
        (DOUBTFUL_STATES, Fault.DOUBTFUL),
        (TRANSIENT_STATES, Fault.TRANSIENT),
    ):
        if sqlstate is not None and (sqlstate in states or sqlstate[:2] in states):
            return fault
    return Fault.OURS


def is_transient(error: BaseException) -> bool:
    """Whether the same work can succeed later with nobody's help: what met another, or a database that is away."""
    return fault_of(error) in {Fault.CONFLICT, Fault.TRANSIENT}


def is_ours(error: BaseException) -> bool:
    """Whether every work meets this error, transient or not: none may be put aside, or given up, for it."""
    return fault_of(error) in {Fault.CONFLICT, Fault.TRANSIENT, Fault.OURS}


def name_of(error: BaseException) -> str:
    """An error in words that hold nothing of what was written: its type, and PostgreSQL's code."""
    sqlstate = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}, {sqlstate}" if isinstance(sqlstate, str) else type(error).__name__
