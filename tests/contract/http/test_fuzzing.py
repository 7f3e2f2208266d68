"""Made-up requests to all four services: no server error, nothing invalid accepted, answers as documented."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from shared.http.server import serve
from support import seeding
from support.composed import SCOPES
from support.databases import Databases
from support.seeding import Seeded, seeded_system
from unit.shared.http.sample import free_port

HOST: Final = "127.0.0.1"
STREAMS: Final = ("/alerts/stream", "/billing-runs/{run_id}/events")
"""They go on for as long as they are listened to, which schemathesis would do."""

EXAMPLES: Final = 10
SECONDS_MAX: Final = 540
SERVICES: Final = ("release", "accounting-connector", "billing-runs", "notifier")
KNOWN_SHARE: Final = 0.7
"""How many of the ids in made-up requests are known ones, so that they come further than to a 404."""

# A list that is too long is refused by the length of the body, before it is read.
_CONFIGURATION: Final = """
warnings = false
[checks.negative_data_rejection]
expected-statuses = [401, 403, 404, 405, 409, 413, 415, 422]
[dictionaries]
{dictionaries}
[parameters]
{parameters}
"""


def known_ids(seeded: Seeded) -> dict[str, list[str]]:
    """Ids that are there, by the parameters of paths, queries and bodies that they are for."""
    events = [seeding.WAITING, seeding.TOO_LARGE, seeding.PASSED, seeding.SPLIT, seeding.INCOMPLETE]
    documents = [seeded.document_id, seeded.draft_id]
    return {
        "path.billing_event_id": events,
        "path.batch_id": [seeding.BATCH],
        "path.project_id": [seeding.PROJECT, seeding.CAPPED, seeding.YEN],
        "path.job_id": [seeded.job_id],
        "path.document_id": documents,
        "path.process_run_id": [seeded.process_run_id],
        "path.company_id": [seeding.COMPANY],
        "path.run_id": [seeding.RUN],
        "path.code": [seeding.RULE],
        "path.billing_cycle_id": [seeding.CYCLE],
        "path.alert_id": [seeded.alert_id],
        "path.delivery_id": [seeded.delivery_id],
        "query.project_id": [seeding.PROJECT],
        "query.account_id": [seeding.ACCOUNT],
        "query.batch_id": [seeding.BATCH],
    }


def configuration(known: dict[str, list[str]]) -> str:
    """The configuration of schemathesis that makes it use known ids, mostly."""
    names = {key: key.replace(".", "-") for key in known}
    dictionaries = [f"{names[key]} = {{ values = {json.dumps(values)} }}" for key, values in known.items()]
    parameters = [
        f'"{key}" = {{ dictionary = "{name}", probability = {KNOWN_SHARE} }}' for key, name in names.items()
    ]
    return _CONFIGURATION.format(dictionaries="\n".join(dictionaries), parameters="\n".join(parameters))


async def judge(seeded: Seeded, service: str, folder: Path) -> tuple[int, str]:
    """Serve the service's application and let schemathesis call it; its exit code and what it says."""
    (folder / "schemathesis.toml").write_text(configuration(known_ids(seeded)))
    port, stop = free_port(), asyncio.Event()
    application = seeded.system.services[service].application
    serving = asyncio.create_task(serve(application, HOST, port, stop))
    report = folder / "report.txt"
    try:
        with report.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("schemathesis")),
                "--config-file=schemathesis.toml",
                "run",
                f"http://{HOST}:{port}/openapi.json",
                "--wait-for-schema=120",
                f"--header=Authorization: Bearer {seeded.system.issuer.token(SCOPES, exp=4_000_000_000)}",
                *(f"--exclude-path={path}" for path in STREAMS),
                "--phases=examples,coverage,fuzzing",
                f"--max-examples={EXAMPLES}",
                "--seed=1",
                # How long it takes to make requests up says more of the machine than of us.
                "--suppress-health-check=too_slow",
                "--checks=all",
                # Not all that is refused is refused by its form: unknown ids, states that do not allow an action.
                "--exclude-checks=positive_data_acceptance",
                "--request-timeout=120",
                "--continue-on-failure",
                "--no-color",
                cwd=folder,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
            code = await asyncio.wait_for(process.wait(), SECONDS_MAX)
        return code, report.read_text()
    finally:
        stop.set()
        await serving


@pytest.fixture(scope="module")
async def seeded(databases: Databases) -> AsyncIterator[Seeded]:
    """A system of the module's own, for made-up requests leave nothing as it was.

    It hardly waits for what is not known, which of made-up requests is much.
    """
    async with seeded_system(databases, command_wait_seconds=0.1) as made:
        yield made


@pytest.fixture(scope="module")
async def verdicts(seeded: Seeded, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """What schemathesis finds of each service; all at the same time, which is quicker than one after the other."""
    judging = [judge(seeded, service, tmp_path_factory.mktemp(service)) for service in SERVICES]
    return dict(zip(SERVICES, await asyncio.gather(*judging), strict=True))


@pytest.mark.parametrize("service", SERVICES)
def test_made_up_requests_are_answered_as_documented(
    seeded: Seeded, verdicts: dict[str, tuple[int, str]], service: str
) -> None:
    code, report = verdicts[service]
    assert code == 0, report[-12_000:]
    paths = seeded.system.services[service].application.openapi()["paths"]
    operations = sum(len(calls) for path, calls in paths.items() if path not in STREAMS)
    assert f"{operations} selected / " in report
