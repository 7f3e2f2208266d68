"""`sluice topics`: makes the topics that are missing."""

import os
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from sluice.broker_options import broker_options
from sluice.client import DataOption
from sluice.console import JsonOption, answer_json, answer_table, fail
from sluice.infrastructure.blocking import run_blocking
from sluice.state import StateError, state_of
from sluice.topics import TOPICS_FILE, TopicError, make_topics, read_topics


def topics(
    data: DataOption = None,
    file: Annotated[Path, typer.Option("--file", help="The topics to make.")] = TOPICS_FILE,
    replication_factor: Annotated[
        int,
        typer.Option(
            "--replication-factor", min=1, help="Copies of each new topic; 3 where there are 3 brokers."
        ),
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Make the missing topics at KAFKA_BOOTSTRAP_SERVERS, else in the running system; others stay as they are."""
    try:
        servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or str(state_of(data).summary()["kafka"])
        wanted = read_topics(file)
        made = run_blocking(
            make_topics(broker_options(servers), wanted, replication_factor=replication_factor)
        )
    except (StateError, TopicError, KafkaError, OSError) as error:
        fail(str(error))
    rows = [
        {
            "topic": topic.name,
            "partitions": topic.partitions,
            "made": topic.name in made,
            "settings": dict(topic.settings),
        }
        for topic in wanted
    ]
    if as_json:
        answer_json({"topics": rows})
    else:
        answer_table(["topic", "partitions", "made"], rows)
