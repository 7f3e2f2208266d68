"""A mail that has failed is sent again, when a user asks for it."""

from notifier.domain.retries import resent
from notifier.store.deliveries import StoredDelivery, lock_delivery, save_delivery
from shared.database.unit_of_work import UnitOfWork


class NotFailedError(ValueError):
    """A mail that has not failed is not sent again."""


async def resend(work: UnitOfWork, delivery_id: str) -> StoredDelivery | None:
    """Queue a failed mail anew; how it stands now, None if there is none. Locks its row. Raises NotFailedError."""
    delivery = await lock_delivery(work.connection, delivery_id)
    if delivery is None:
        return None
    try:
        state = resent(delivery.state, at=delivery.now)
    except ValueError as error:
        raise NotFailedError(str(error)) from None
    await save_delivery(work.connection, delivery_id, state)
    return await lock_delivery(work.connection, delivery_id)
