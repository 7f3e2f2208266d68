"""What the button of an action shows (domain.md section 5)."""

from enum import StrEnum


class Indicator(StrEnum):
    """How the last execution of an action stands: under way, or how it ended if not well."""

    RUNNING = "running"
    FAILED = "failed"
    WARNING = "warning"
