"""Named points at which a test can kill the process, as `kill -9` would, to prove that nothing is lost or doubled.

`SLUICE_FAILPOINTS=relay.after_send:3` ends the process at the third time it passes `relay.after_send`. Without the
variable a point costs one dictionary look-up.
"""

import os
from typing import Final

CONSUMER_BEFORE_TRANSACTION: Final = "consumer.before_transaction"
CONSUMER_BEFORE_COMMIT: Final = "consumer.before_commit"
CONSUMER_AFTER_COMMIT: Final = "consumer.after_commit"
RELAY_BEFORE_SEND: Final = "relay.before_send"
RELAY_AFTER_SEND: Final = "relay.after_send"
NUMBER_BEFORE_INSERT: Final = "documents.between_number_and_insert"
RENDERING: Final = "documents.amid_rendering"
MAIL_AFTER_TAKEN: Final = "mail.after_taken"
JOB_AFTER_CHUNK: Final = "jobs.after_chunk"
STEP_AFTER_COMMIT: Final = "runs.after_step_commit"
BETWEEN_CLAIMS: Final = "runs.between_claims"

KILLED_EXIT_CODE: Final = 137


def _read(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, count = part.partition(":")
        counts[name.strip()] = int(count or 1)
    return counts


_remaining: Final = _read(os.environ.get("SLUICE_FAILPOINTS", ""))


def hit(name: str) -> None:
    """End the process at once if the environment asks for it at this point."""
    if name not in _remaining:
        return
    _remaining[name] -= 1
    if _remaining[name] == 0:
        os._exit(KILLED_EXIT_CODE)
