"""A system's state: secrets that only the owner reads, kept over restarts, and removed whole."""

from pathlib import Path

import pytest

from sluice.state import State, StateError, ephemeral_state, state_of


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "data")
    made.prepare()
    return made


def test_passwords_stay_the_same_and_differ_by_role(state: State) -> None:
    first = state.passwords(["a", "b"])
    assert first["a"] != first["b"]
    assert State(state.data).passwords(["a", "b", "c"]) | first == State(state.data).passwords(
        ["a", "b", "c"]
    )


def test_secrets_are_for_their_owner_only(state: State) -> None:
    state.passwords(["a"])
    state.write_summary({"database_url": "postgresql://postgres:secret@127.0.0.1/sluice"})
    modes = {path.name: path.stat().st_mode & 0o777 for path in state.data.glob("*.json")}
    assert modes == {"passwords.json": 0o600, "system.json": 0o600}


def test_a_folder_that_was_there_before_stays_open_to_whom_it_was_open(tmp_path: Path) -> None:
    shared, private = tmp_path / "shared", tmp_path / "private"
    for folder, mode in ((shared, 0o1777), (private, 0o700)):
        folder.mkdir()
        folder.chmod(mode)
        State(folder).prepare()
    assert shared.stat().st_mode & 0o7777 == 0o1777
    assert private.stat().st_mode & 0o7777 == 0o711, "the account that PostgreSQL runs as has to get through"


def test_without_a_folder_the_last_started_system_is_meant(state: State) -> None:
    with pytest.raises(StateError, match="no system was started"):
        state_of(None)
    state.remember()
    assert state_of(None).data == state.data


def test_a_system_that_is_gone_is_told_apart_from_one_that_never_was(state: State) -> None:
    state.remember()
    state.remove()
    with pytest.raises(StateError, match="is gone"):
        state_of(None)


def test_a_state_without_a_start_has_no_summary(state: State) -> None:
    with pytest.raises(StateError, match="no system has been started"):
        state.summary()


def test_what_is_kept_elsewhere_goes_with_an_ephemeral_state(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    state = ephemeral_state()
    state.prepare()
    (state.data / "elsewhere").write_text(str(elsewhere))
    state.remove()
    assert not elsewhere.exists()
    assert not state.data.exists()
