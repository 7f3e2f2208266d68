"""The `sluice` command (contract.md section 3). Exit codes: 0 done, 1 failed, 2 usage."""

import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

_MODULES: Final[Mapping[str, str]] = {
    "up": "up",
    "down": "down",
    "demo": "demo",
    "migrate": "migrate",
    "topics": "topics",
    "acls": "acls",
    "token": "token",
    "release": "release",
    "explain": "explain",
    "move-left-out": "move_left_out",
    "job": "job",
    "run": "run",
    "dead-letters": "dead_letters",
    "accept-gap": "accept_gap",
    "reconcile": "reconcile",
    "bench": "bench",
}
"""The commands in the order of the help, and the module of each in `sluice.commands`.

A module has either its command's function under its own name, or an `app` of several commands.
"""


class _Commands(TyperGroup):
    """Imports the module of the command that is run, and no other: a token must not wait for the benchmarks."""

    # Typer keeps the types of contexts and commands to itself.
    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        return list(_MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or None."""
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"sluice.commands.{_MODULES[cmd_name]}")
        holder = typer.Typer()
        if hasattr(module, "app"):
            holder.add_typer(module.app, name=cmd_name)
        else:
            holder.command(cmd_name)(getattr(module, _MODULES[cmd_name]))
        return get_group(holder).commands[cmd_name]


app = typer.Typer(
    name="sluice",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Releases billing events and turns them into invoices: the whole system on one machine, and its commands.",
)


@app.callback()
def _sluice() -> None:
    """Nothing is done but by a command."""


def main() -> None:
    """Run the command line."""
    # Clients log every refused connection while a server comes up; what fails for good is told as a sentence.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    app()


if __name__ == "__main__":
    main()
