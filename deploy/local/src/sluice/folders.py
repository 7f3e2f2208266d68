"""Where things lie on this machine: the checkout, the user's cache, and the state of systems."""

import os
import tempfile
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[4]
"""The checkout that this command was installed from."""


def user_cache() -> Path:
    """The folder for what can be fetched again: `$XDG_CACHE_HOME/sluice`, `~/.cache/sluice`, else one in /tmp."""
    return _usable_folder("XDG_CACHE_HOME", Path(".cache"), "cache")


def user_state() -> Path:
    """The folder for systems' states: `$XDG_STATE_HOME/sluice`, `~/.local/state/sluice`, else one in /tmp."""
    return _usable_folder("XDG_STATE_HOME", Path(".local/state"), "state")


def _usable_folder(variable: str, below_home: Path, purpose: str) -> Path:
    named = os.environ.get(variable)
    candidates = [Path(named)] if named and Path(named).is_absolute() else []
    home = os.environ.get("HOME")
    if home and Path(home).is_dir():
        candidates.append(Path(home) / below_home)
    for candidate in candidates:
        if is_ours(candidate / "sluice"):
            return candidate / "sluice"
    # Anybody can make folders in /tmp: one with our name on it counts only if it is really ours.
    ours = Path(tempfile.gettempdir()) / f"sluice-{os.geteuid()}"
    if not (is_ours(ours) and is_ours(ours / purpose)):
        raise PermissionError(f"{ours} belongs to somebody else; set {variable} to a folder of yours")
    return ours / purpose


def is_ours(folder: Path) -> bool:
    """Whether the folder is there (or could be made), belongs to us, and can be written to."""
    try:
        # Entered, not listed, by the account that PostgreSQL runs as when we are root.
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError:
        return False
    return owner == os.geteuid() and os.access(folder, os.W_OK | os.X_OK)
