"""Who runs a server that refuses to run as root, and what that account can reach."""

import os
import pwd
import subprocess
from pathlib import Path
from typing import Final

from sluice.infrastructure.errors import UnavailableError
from sluice.infrastructure.processes import Account

_NAMES: Final = ("postgres", "nobody")


def unprivileged_account() -> Account | None:
    """The account to become: None for an ordinary user, else `postgres` or `nobody`.

    Raises UnavailableError for root on a machine that has neither.
    """
    if os.geteuid() != 0:
        return None
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user=entry.pw_uid, group=entry.pw_gid)
    raise UnavailableError(
        "PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to become"
    )


def reaches(account: Account | None, path: Path, *, read: bool) -> bool:
    """Whether the account can enter (and, if asked, read) the nearest part of the path that exists."""
    while not path.exists():
        path = path.parent
    test = 'test -x "$0" && test -r "$0"' if read else 'test -x "$0"'
    answer = subprocess.run(
        ["/bin/sh", "-c", test, str(path)],
        cwd="/",
        check=False,
        user=None if account is None else account.user,
        group=None if account is None else account.group,
        extra_groups=None if account is None else [],
    )
    return answer.returncode == 0
