"""Where caches and states lie: the user's own folders, whatever HOME is."""

import os
import tempfile
from pathlib import Path

import pytest

from sluice.folders import user_cache, user_state


@pytest.fixture(autouse=True)
def _no_folders_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


def test_the_home_folder_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "sluice"
    assert user_state() == tmp_path / ".local" / "state" / "sluice"


def test_a_folder_named_in_the_environment_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_cache() == tmp_path / "cache" / "sluice"


@pytest.mark.parametrize("home", ["/nonexistent", "", None])
def test_without_a_home_a_folder_of_our_own_is_made(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    folder = user_cache()
    assert folder == tmp_path / f"sluice-{os.geteuid()}" / "cache"
    assert folder.stat().st_mode & 0o066 == 0, "nobody else reads or writes it"


def test_a_folder_in_tmp_that_is_somebody_elses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", "/nonexistent")
    user_cache()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    (tmp_path / f"sluice-{owner + 1}").mkdir()
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        user_cache()
