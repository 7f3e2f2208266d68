"""Why something is refused: the codes of actions, and the problems of what was put in."""

from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Why an action on a run or on one of its documents is refused (domain.md section 5)."""

    RUN_DISABLED = "run_disabled"
    ACTION_NOT_AVAILABLE = "action_not_available"
    STEP_RUNNING = "step_running"
    SECOND_PERSON_NEEDED = "second_person_needed"
    NOT_PERMITTED = "not_permitted"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with settings or a rule.

    `field` is the field's name as it is on the wire, dotted where it is nested (`scope.date_from`); `message`
    says what is wrong in words.
    """

    field: str
    message: str
