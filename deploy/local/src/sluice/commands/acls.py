"""`sluice acls`: allows the services what they need at the broker."""

import os
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from sluice.acls import ACLS_FILE, AclError, make_acls, read_acls
from sluice.broker_options import broker_options
from sluice.console import JsonOption, answer_json, answer_table, fail
from sluice.infrastructure.blocking import run_blocking


def acls(
    file: Annotated[Path, typer.Option("--file", help="What is to be allowed.")] = ACLS_FILE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Allow each service its topics and groups at KAFKA_BOOTSTRAP_SERVERS, whose broker needs an authorizer."""
    try:
        wanted = read_acls(file)
    except (AclError, OSError) as error:
        fail(str(error))
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not dry_run:
        if not servers:
            fail("KAFKA_BOOTSTRAP_SERVERS must say which brokers; a system on this machine has no authorizer")
        try:
            run_blocking(make_acls(broker_options(servers), wanted))
        except (AclError, KafkaError, OSError) as error:
            fail(str(error) or repr(error))
    rows = [acl.outline() for acl in wanted]
    if as_json:
        answer_json({"acls": rows, "made": not dry_run})
    else:
        answer_table(["principal", "operation", "resource", "name"], rows)
