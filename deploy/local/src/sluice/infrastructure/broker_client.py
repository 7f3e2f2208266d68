"""Asking a broker whether it is there."""

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from sluice.infrastructure.blocking import run_blocking


def broker_answers(bootstrap_servers: str) -> bool:
    """Whether a broker at this address answers a metadata request and is part of its cluster."""
    return run_blocking(_answers(bootstrap_servers))


async def _answers(bootstrap_servers: str) -> bool:
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()
