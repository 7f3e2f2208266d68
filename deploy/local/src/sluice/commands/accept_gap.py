"""`sluice accept-gap`: goes on without what a restored database cannot read any more."""

import os
from typing import Annotated

import asyncpg
import typer
from aiokafka.errors import KafkaError

from sluice.broker_options import broker_options
from sluice.client import DataOption
from sluice.commands.migrate import administrator_url
from sluice.console import JsonOption, answer_json, answer_table, fail, say
from sluice.gaps import accept_gaps
from sluice.infrastructure.blocking import run_blocking
from sluice.state import StateError, state_of


def accept_gap(
    data: DataOption = None,
    only_show: Annotated[bool, typer.Option("--only-show", help="Change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let lines that have stopped at a gap go on at the beginning of their topics.

    What the topics have dropped since the backup, or had before they were made anew, is not in this database, and never
    will be. At KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL (an administrator's), else in the running system. Start the
    services again afterwards.
    """
    try:
        servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or str(state_of(data).summary()["kafka"])
        url = administrator_url() or str(state_of(data).summary()["database_url"])
        gaps = run_blocking(accept_gaps(url, broker_options(servers), only_show=only_show))
    except (
        StateError,
        KafkaError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        OSError,
        ValueError,
    ) as error:
        fail(str(error))
    rows = [gap.shown() for gap in gaps]
    if as_json:
        answer_json({"gaps": rows, "accepted": not only_show})
        return
    if not rows:
        say("there are no gaps")
        return
    answer_table(["service", "line", "topic", "partition", "known", "beginning", "end"], rows)
    if not only_show:
        say("accepted: each line begins at the topic's beginning when its service is started again")
