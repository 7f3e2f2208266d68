"""Dead letters become one alert per service, topic and hour, with their count (domain.md section 8)."""

from collections.abc import Sequence

from notifier.domain.dead_letter_digest import DeadLetter, DeadLetterDigest, digest_key, with_letters
from notifier.domain.kinds import Kind, Role
from notifier.domain.notifications import Addressee, Notification
from notifier.handlers.operator_notices import dead_letters_notice
from notifier.handlers.telling import Audiences, tell_people
from notifier.store.digests import load_digests, save_digests
from notifier.store.notifications import Caused, lock_notifications
from shared.database.unit_of_work import NO_CAUSE, UnitOfWork


async def take_dead_letters(work: UnitOfWork, letters: Sequence[DeadLetter], audiences: Audiences) -> None:
    """Count these letters, and tell the operators. Locks the notifications, then the digests."""
    if not letters:
        return
    await lock_notifications(work.connection)
    known = await load_digests(work.connection, {digest_key(letter) for letter in letters})
    changed = with_letters(known, letters)
    await save_digests(work.connection, changed.values())
    caused = [_caused(digest, audiences) for digest in changed.values()]
    await tell_people(work, caused, audiences.mails, counting_up=True)


def _caused(digest: DeadLetterDigest, audiences: Audiences) -> Caused:
    addressees = tuple(Addressee(Role.OPERATORS, person) for person in audiences.operators)
    notification = Notification(digest.key.cause, Kind.DEAD_LETTERS, dead_letters_notice(digest), addressees)
    return Caused(notification, NO_CAUSE, mails_due_at=digest.mail_due_at)
