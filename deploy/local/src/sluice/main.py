"""The `sluice` command (contract.md section 3). Exit codes: 0 done, 1 failed, 2 usage."""

import logging

import typer

from sluice.commands import (
    bench,
    dead_letters,
    demo,
    down,
    explain,
    job,
    migrate,
    reconcile,
    release,
    run,
    token,
    topics,
    up,
)

app = typer.Typer(
    name="sluice",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Releases billing events and turns them into invoices: the whole system on one machine, and its commands.",
)
app.command()(up.up)
app.command()(down.down)
app.command()(demo.demo)
app.command()(migrate.migrate)
app.command()(topics.topics)
app.command()(token.token)
app.command()(release.release)
app.command()(explain.explain)
app.add_typer(job.app, name="job")
app.add_typer(run.app, name="run")
app.add_typer(dead_letters.app, name="dead-letters")
app.command()(reconcile.reconcile)
app.command()(bench.bench)


def main() -> None:
    """Run the command line."""
    # Clients log every refused connection while a server comes up; what fails for good is told as a sentence.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    app()


if __name__ == "__main__":
    main()
