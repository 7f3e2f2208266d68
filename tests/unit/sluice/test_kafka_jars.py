"""Apache Kafka's jars: only those that are known, byte for byte."""

from pathlib import Path

import pytest

from sluice.infrastructure import kafka_jars
from sluice.infrastructure.errors import UnavailableError
from sluice.infrastructure.kafka import VERSION
from sluice.infrastructure.kafka_jars import FILES, Jar, find_jars, known_jars

CONTENT = b"not really a jar"


def unheard(_: str) -> None:
    """Nobody listens."""


def test_the_pom_and_the_list_name_the_version_that_is_announced() -> None:
    assert Jar("org.apache.kafka", "kafka_2.13", VERSION, "") in [
        Jar(jar.group, jar.artifact, jar.version, "") for jar in known_jars()
    ]
    assert f"<version>{VERSION}</version>" in (FILES / "kafka-pom.xml").read_text()


def test_every_known_jar_has_a_hash_of_its_own() -> None:
    hashes = [jar.sha256 for jar in known_jars()]
    assert len(hashes) > 40
    assert len(set(hashes)) == len(hashes)
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in hashes)


def test_jars_with_other_bytes_are_refused_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_work: Path, jars: Path) -> None:
        for jar in known_jars():
            (jars / jar.file_name).write_bytes(CONTENT)

    monkeypatch.setattr(kafka_jars, "_fetch_by_maven", fetch)
    monkeypatch.setattr(kafka_jars, "_fetch_by_jgo", fetch)
    with pytest.raises(UnavailableError, match="its hash differs"):
        find_jars(tmp_path, unheard)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_maven_that_fails_is_followed_by_the_other_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_work: Path, _jars: Path) -> None:
        raise UnavailableError("no such mirror")

    monkeypatch.setattr(kafka_jars, "_fetch_by_maven", fail)
    monkeypatch.setattr(
        kafka_jars, "_fetch_by_jgo", lambda _work, jars: (jars / "a.jar").write_bytes(CONTENT)
    )
    monkeypatch.setattr(kafka_jars, "_check", lambda jars: None)
    assert [path.name for path in find_jars(tmp_path, unheard)] == ["a.jar"]


def test_what_was_fetched_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(_work: Path, jars: Path) -> None:
        fetched.append(jars)
        (jars / "a.jar").write_bytes(CONTENT)

    monkeypatch.setattr(kafka_jars, "_fetch_by_maven", fetch)
    monkeypatch.setattr(kafka_jars, "_fetch_by_jgo", fetch)
    monkeypatch.setattr(kafka_jars, "_check", lambda jars: None)
    assert find_jars(tmp_path, unheard) == find_jars(tmp_path, unheard)
    assert len(fetched) == 1
