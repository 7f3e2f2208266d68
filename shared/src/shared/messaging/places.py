"""Where a line begins to read a partition: the database says how far it has read, the group only how far it was told.

After a restore to an earlier moment the group is ahead of the database. What lies between is read again, which has no
effect twice (inbox); what the topic has no longer is a gap that a person has to accept (`sluice accept-gap`).
"""

from dataclasses import dataclass


class GapError(RuntimeError):
    """What the database has not read is not in the topic any more; the message is the sentence for operators."""


@dataclass(frozen=True, slots=True)
class Place:
    """A partition as a line finds it: the next offset by the database (`known`) and by the group (`committed`), None
    where there is none, and the first and the next offset of the topic.
    """

    topic: str
    partition: int
    known: int | None
    committed: int | None
    beginning: int
    end: int

    @property
    def is_before_the_topic(self) -> bool:
        """Whether the topic has dropped what the database has not read."""
        return self.known is not None and self.known < self.beginning

    @property
    def is_beyond_the_topic(self) -> bool:
        """Whether the topic ends before what the database has read: it was made anew."""
        return self.known is not None and self.known > self.end

    def begin(self) -> int | None:
        """The offset to read from; None: where the group is, or at the beginning where it is nowhere.

        Raises GapError.
        """
        where = f"{self.topic}/{self.partition}"
        if self.is_before_the_topic:
            raise GapError(
                f"the database has read {where} to offset {self.known}, but the topic begins at {self.beginning}: "
                "what lies between is lost to this database. Restore a later backup, or let `sluice accept-gap` go on "
                "without it"
            )
        if self.is_beyond_the_topic:
            raise GapError(
                f"the database has read {where} to offset {self.known}, but the topic ends at {self.end}: it was made "
                "anew. `sluice accept-gap` reads it from its beginning"
            )
        if self.known is None:
            return self.beginning if self.committed is not None and self.committed > self.beginning else None
        if self.committed is None or self.committed > self.known:
            return self.known
        return None
