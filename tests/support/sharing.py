"""Which tests run in one process, one after the other, when `make test` runs two processes side by side.

Each process has servers of its own, so tests that share what is slow to make, or a machine-wide judge, stay together;
all others stay together with those of their file. What takes longest comes first, so that both processes end at about
the same time.
"""

from pathlib import PurePath
from typing import Final

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
    "benchmarks/test_relay.py",
)
"""Tests on a broker, which is slow to start: once is enough."""


def group_of(file: str) -> tuple[int, str]:
    """The place and the name of the group of a test file, whose path begins below `tests/`."""
    if file in ON_KAFKA:
        return len(GROUPS), "on Kafka"
    path = PurePath(file)
    for place, group in enumerate(GROUPS):
        if path.is_relative_to(group):
            return place, group
    return len(GROUPS) + 1, file
