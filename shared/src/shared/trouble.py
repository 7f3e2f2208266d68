"""What keeps one thing from its work now, so that a log tells of each change once and not of each try."""

from dataclasses import dataclass


@dataclass(slots=True)
class Trouble:
    """The reason for which one thing cannot go on; None while it can."""

    reason: str | None = None

    def begins(self, reason: str) -> bool:
        """Note a failed try; whether its reason is another one than that of the try before."""
        changed = reason != self.reason
        self.reason = reason
        return changed

    def ends(self) -> bool:
        """Note a try that went well; whether the one before had failed."""
        ended = self.reason is not None
        self.reason = None
        return ended
