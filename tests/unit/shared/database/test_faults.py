"""Every class of PostgreSQL's errors is decided: only what a record itself can cause may put a record aside."""

import inspect
from typing import Final

import asyncpg
import pytest

from shared.database.faults import Fault, fault_of, is_ours, is_transient
from shared.database.unit_of_work import MessageTooLargeError

CLASSES: Final[dict[str, Fault | dict[str, Fault]]] = {
    "03": Fault.OURS,
    "08": Fault.TRANSIENT,
    "09": Fault.OURS,
    "0A": {"InvalidCachedStatementError": Fault.CONFLICT},
    "0B": Fault.OURS,
    "0F": Fault.OURS,
    "0L": Fault.OURS,
    "0P": Fault.OURS,
    "0Z": Fault.OURS,
    "10": Fault.OURS,
    "20": Fault.OURS,
    "21": Fault.OURS,
    "22": dict.fromkeys(
        ("22001", "22003", "22007", "22008", "22012", "22015", "22021", "22P02", "22P05"), Fault.RECORD
    ),
    "23": dict.fromkeys(("23503", "23505", "23514"), Fault.DOUBTFUL),
    "24": Fault.OURS,
    "25": dict.fromkeys(("25006", "25P03", "25P04"), Fault.TRANSIENT),
    "26": Fault.OURS,
    "27": Fault.OURS,
    "28": Fault.TRANSIENT,
    "2B": Fault.OURS,
    "2D": Fault.OURS,
    "2F": Fault.OURS,
    "34": Fault.OURS,
    "38": Fault.OURS,
    "39": Fault.OURS,
    "3B": Fault.OURS,
    "3D": Fault.OURS,
    "3F": Fault.OURS,
    "40": {
        "40001": Fault.CONFLICT,
        "40P01": Fault.CONFLICT,
        "40000": Fault.TRANSIENT,
        "40002": Fault.TRANSIENT,
        "40003": Fault.TRANSIENT,
    },
    "42": Fault.OURS,
    "44": Fault.OURS,
    "53": Fault.TRANSIENT,
    "54": Fault.OURS,
    "55": {"55P03": Fault.CONFLICT, "55006": Fault.TRANSIENT},
    "57": Fault.TRANSIENT,
    "58": Fault.OURS,
    "72": Fault.TRANSIENT,
    "F0": Fault.OURS,
    "HV": Fault.OURS,
    "P0": Fault.OURS,
    "XX": Fault.OURS,
}
"""By class; where its errors differ, those that are not ours, by code or by asyncpg's name."""

_ERRORS: Final = [
    kind
    for kind in vars(asyncpg).values()
    if inspect.isclass(kind) and issubclass(kind, asyncpg.PostgresError) and kind.sqlstate is not None
]
SERVER_ERRORS: Final = [kind for kind in _ERRORS if kind.sqlstate[:2] not in {"01", "02"}]
"""All that are raised; classes 01 and 02 are warnings."""


def _decided(kind: type[asyncpg.PostgresError]) -> Fault:
    sqlstate: str = kind.sqlstate
    of_class = CLASSES[sqlstate[:2]]
    if isinstance(of_class, Fault):
        return of_class
    return of_class.get(kind.__name__, of_class.get(sqlstate, Fault.OURS))


def test_every_class_that_the_driver_knows_is_decided() -> None:
    assert {kind.sqlstate[:2] for kind in SERVER_ERRORS} == CLASSES.keys()


@pytest.mark.parametrize("kind", SERVER_ERRORS, ids=lambda kind: f"{kind.sqlstate} {kind.__name__}")
def test_every_error_of_the_server_is_whose_it_is_decided_to_be(kind: type[asyncpg.PostgresError]) -> None:
    assert fault_of(kind("")) is _decided(kind)


def test_an_error_that_nobody_knows_is_ours() -> None:
    assert fault_of(asyncpg.UnknownPostgresError("")) is Fault.OURS


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (OverflowError("out of int32 range"), Fault.RECORD),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), Fault.RECORD),
        (TypeError("expected str, got int"), Fault.OURS),
        (AttributeError("toordinal"), Fault.OURS),
        (ValueError("no UUID"), Fault.DOUBTFUL),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_be_encoded_is_the_records_unless_its_column_has_another_type_now(
    cause: Exception, fault: Fault
) -> None:
    error = asyncpg.DataError("invalid input for query argument")
    error.__cause__ = cause
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (asyncpg.OutdatedSchemaCacheError(""), Fault.CONFLICT),
        (asyncpg.InterfaceError("connection is closed"), Fault.TRANSIENT),
        (ConnectionResetError(), Fault.TRANSIENT),
        (TimeoutError(), Fault.TRANSIENT),
        (MessageTooLargeError(""), Fault.RECORD),
        (OverflowError(), Fault.RECORD),
        (KeyError("x"), Fault.DOUBTFUL),
        (ValueError(), Fault.DOUBTFUL),
        (MemoryError(), Fault.OURS),
        (ImportError(), Fault.OURS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_that_are_not_the_servers(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault


def test_a_read_only_server_is_transient_and_a_missing_column_is_not() -> None:
    assert is_transient(asyncpg.ReadOnlySQLTransactionError(""))
    assert not is_transient(asyncpg.UndefinedColumnError(""))
    assert is_ours(asyncpg.UndefinedColumnError(""))
    assert not is_ours(asyncpg.NumericValueOutOfRangeError(""))
