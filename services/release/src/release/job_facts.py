"""How the release service speaks of release jobs, in facts and over HTTP (contract.md sections 1 and 2)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from release.facts import format_instant
from release.store.jobs import Job

FAILURES_SHOWN_MAX: Final = 20


def job_fact_body(job: Job, failures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`release.job.started.v1`, `.progressed.v1`, `.completed.v1`: the figures so far and the first failures."""
    return {
        "job_id": job.job_id,
        "status": job.status.value,
        "and_invoice": job.and_invoice,
        "process_run_id": job.process_run_id,
        "selected": job.total,
        "released": job.released,
        "failed": job.failed,
        "held_back": job.held_back,
        "stopped": job.stopped,
        "pending": job.pending,
        "failures": failures,
        "starter": job.starter,
    }


def job_body(job: Job, failures: Sequence[Mapping[str, Any]], public_url: str) -> dict[str, Any]:
    """The job as lists of jobs show it."""

    def instant(name: str) -> str | None:
        moment = getattr(job, name)
        return None if moment is None else format_instant(moment)

    return {
        **job_fact_body(job, failures),
        "mode": job.mode,
        "dry_run": job.dry_run,
        "on_chunk_failure": job.on_chunk_failure,
        "done": job.done,
        "failure": job.failure,
        "created_at": instant("created_at"),
        "started_at": instant("started_at"),
        "ended_at": instant("ended_at"),
        "stop_asked_at": instant("stop_asked_at"),
        "stopper": job.stopper,
        "links": {
            "log": f"/release-jobs/{job.job_id}/log",
            "page": f"{public_url}/pages/release-jobs/{job.job_id}",
        },
    }
