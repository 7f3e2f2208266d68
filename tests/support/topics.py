"""Topics of a test's own on the shared broker."""

import secrets
from collections.abc import Mapping

from sluice.broker_options import broker_options
from sluice.infrastructure.blocking import run_blocking
from sluice.topics import Topic, make_topics


def unique(name: str) -> str:
    """The name with a random end: for topics, groups and ids that no other test has."""
    return f"{name}-{secrets.token_hex(6)}"


class Topics:
    """Makes topics on one broker."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    def new(self, name: str, *, partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        """Make a topic with a unique name that begins with this one; returns the whole name."""
        topic = Topic(unique(name), partitions, settings or {})
        run_blocking(make_topics(broker_options(self._bootstrap_servers), [topic]))
        return topic.name
