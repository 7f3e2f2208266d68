"""Made-up requests: no server error, nothing invalid accepted, nothing undocumented (quality.md, Security)."""

import asyncio
import sys
from pathlib import Path

from shared.http.application import Application
from shared.http.server import serve
from unit.shared.http.sample import Issuer, failing_router, free_port, sample_application

HOST = "127.0.0.1"


async def judge(application: Application, issuer: Issuer, folder: Path, *options: str) -> tuple[int, str]:
    """Serve the application and let schemathesis call it; its exit code and what it says."""
    port, stop = free_port(), asyncio.Event()
    serving = asyncio.create_task(serve(application, HOST, port, stop))
    report = folder / "report.txt"
    try:
        with report.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"http://{HOST}:{port}/openapi.json",
                "--wait-for-schema=120",
                f"--header=Authorization: Bearer {issuer.token()}",
                "--phases=examples,coverage,fuzzing",
                "--max-examples=25",
                "--seed=1",
                # How long it takes to make requests up says more of the machine than of us.
                "--suppress-health-check=too_slow",
                "--checks=all",
                # Not all that is refused is refused by its form: cursors of other lists, keys used before.
                "--exclude-checks=positive_data_acceptance",
                "--no-color",
                *options,
                cwd=folder,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
            code = await asyncio.wait_for(process.wait(), 540)
        return code, report.read_text()
    finally:
        stop.set()
        await serving


async def test_made_up_requests_are_answered_as_documented(
    application: Application, issuer: Issuer, tmp_path: Path
) -> None:
    code, report = await judge(application, issuer, tmp_path)
    assert code == 0, report[-8000:]
    assert "9 selected / 9 total" in report


async def test_the_judge_says_no_to_a_server_error(issuer: Issuer, tmp_path: Path) -> None:
    application = sample_application(issuer, routers=[failing_router()])
    code, report = await judge(application, issuer, tmp_path, "--include-path=/broken")
    assert code == 1
    assert "GET /broken" in report
    assert "Server error" in report
