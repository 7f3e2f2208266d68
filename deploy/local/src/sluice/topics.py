"""The topics of the system: written down in deploy/topics.yaml, made by an administrator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from sluice.folders import REPOSITORY

TOPICS_FILE: Final = REPOSITORY / "deploy" / "topics.yaml"
_REQUEST_MILLISECONDS_MAX: Final = 60_000


class TopicError(RuntimeError):
    """A topic could not be made, or a file does not say which ones."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: its name, its number of partitions, and its settings as the broker names them."""

    name: str
    partitions: int
    settings: Mapping[str, str]


def read_topics(path: Path = TOPICS_FILE) -> list[Topic]:
    """The topics of the file. Raises TopicError if it does not have the expected form, OSError if it cannot be read."""
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        defaults = content["defaults"]
        kinds: dict[str, dict[str, Any]] = {"stream": {}, **content["kinds"]}
        return [
            Topic(
                name=name,
                partitions=int(defaults["partitions"]),
                settings={key: str(value) for key, value in (defaults["settings"] | kinds[kind]).items()},
            )
            for name, kind in content["topics"].items()
        ]
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TopicError(f"{path} does not describe topics as deploy/topics.yaml does") from error


def prefixed(topics: Sequence[Topic], prefix: str) -> list[Topic]:
    """The same topics under other names, for tests that share a broker."""
    return [replace(topic, name=prefix + topic.name) for topic in topics]


async def make_topics(
    client_options: Mapping[str, Any], topics: Sequence[Topic], *, replication_factor: int = 1
) -> list[str]:
    """Make the topics that are missing; returns their names. Those that exist stay as they are.

    `client_options` are the keyword arguments of any aiokafka client. Raises TopicError if the broker refuses one.
    """
    admin = AIOKafkaAdminClient(request_timeout_ms=_REQUEST_MILLISECONDS_MAX, **client_options)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in there]
        if not missing:
            return []
        answer = await admin.create_topics(
            [
                NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=dict(topic.settings))
                for topic in missing
            ]
        )
        return [name for name, *error in answer.topic_errors if _was_made(name, error)]
    except KafkaError as error:
        raise TopicError(f"the topics could not be made: {error!r}") from error
    finally:
        await admin.close()


def _was_made(name: str, error: Sequence[Any]) -> bool:
    """Whether the broker made it; not if somebody else was first."""
    kind = for_code(error[0])
    if kind is TopicAlreadyExistsError:
        return False
    if error[0] != 0:
        raise TopicError(f"the topic {name} could not be made: {kind.__name__}")
    return True
