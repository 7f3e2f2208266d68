"""By which channels users want to be told, kind by kind."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from notifier.domain.kinds import Channel, Kind
from notifier.domain.notifications import Choice, Choices
from notifier.store.connection import Connection, Reader

_LOAD: Final = """
select user_id, email, channels from preferences where user_id = any($1::text[]) or email = any($2::text[])
order by changed_at
"""
_SAVE: Final = """
insert into preferences (user_id, email, channels) values ($1, $2, $3)
on conflict (user_id) do update set email = excluded.email, channels = excluded.channels, changed_at = now()
"""
_KNOWN_KINDS: Final = frozenset(Kind)
_KNOWN_CHANNELS: Final = frozenset(Channel)


async def load_choices(connection: Reader, *, user_ids: Collection[str], emails: Collection[str]) -> Choices:
    """What these users have chosen. Addresses are given without capital letters; the newest choice of one counts."""
    rows = await connection.fetch(_LOAD, list(user_ids), list(emails))
    chosen = [(row["user_id"], row["email"], _choice_of(row["channels"])) for row in rows]
    return Choices(
        by_user_id={user_id: choice for user_id, _, choice in chosen},
        by_email={email: choice for _, email, choice in chosen if email is not None},
    )


async def save_choice(connection: Connection, user_id: str, email: str | None, choice: Choice) -> None:
    """Keep what a user has chosen, in the place of what they had. Locks their row."""
    body = {kind.value: sorted(channels) for kind, channels in choice.items()}
    await connection.execute(_SAVE, user_id, email.casefold() if email else None, body)


def _choice_of(body: Mapping[str, Any]) -> Choice:
    return {Kind(kind): _channels_of(names) for kind, names in body.items() if kind in _KNOWN_KINDS}


def _channels_of(names: Iterable[str]) -> frozenset[Channel]:
    return frozenset(Channel(name) for name in names if name in _KNOWN_CHANNELS)
