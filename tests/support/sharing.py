"""Which tests run in one process, one after the other, when `make test` runs two processes side by side, and which
of the long ones are a day's share.

Each process has servers of its own, so tests that share what is slow to make, or a machine-wide judge, stay together;
all others stay together with those of their file. What takes longest comes first, so that both processes end at about
the same time.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final, TypeVar

from xdist.scheduler import LoadScopeScheduling

GROUPS: Final = (
    "faults",
    "integration/local/test_up.py",
    "integration/release/test_release_machine.py",
    "integration/shared/http/test_schemathesis.py",
    "end_to_end/test_demo.py",
    "contract/http",
    "security",
    "judges",
    "end_to_end",
    "benchmarks",
)
"""Folders and files, those that take longest first."""

ON_KAFKA: Final = (
    "integration/local/test_dead_letters.py",
    "integration/local/test_kafka.py",
    "integration/shared/messaging/test_lines.py",
    "integration/shared/messaging/test_relay.py",
    "benchmarks/test_driver.py",
    "benchmarks/test_relay.py",
)
"""Tests on a broker, which is slow to start: once is enough."""


Test = TypeVar("Test")


def share_of(tests: Sequence[Test], share: str) -> list[Test]:
    """Every n-th test, beginning with the k-th, for a share `k/n`; neighbours, which cost alike, are on different days.

    Raises ValueError for what is no share.
    """
    first, separator, every = share.partition("/")
    if not (separator and first.isdecimal() and every.isdecimal() and int(first) < int(every)):
        raise ValueError(f"{share!r} should be k/n, k from 0 and less than n")
    return list(tests[int(first) :: int(every)])


def group_of(file: str) -> str:
    """The group of a test file, whose path begins below `tests/`: a folder, or the file itself."""
    if file in ON_KAFKA:
        return "on Kafka"
    path = PurePath(file)
    return next((group for group in GROUPS if path.is_relative_to(group)), file)


def place_of(file: str) -> int:
    """The place of the file's group: the lower, the earlier."""
    group = group_of(file)
    return GROUPS.index(group) if group in GROUPS else len(GROUPS) + (group == file)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc] # the plugin has no types
    """Gives a process a group at a time, in the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.split("::", 1)[0].removeprefix("tests/"))
