"""Apache Kafka's jars: fetched once by name, checked against known hashes, kept in the user's cache."""

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext

from sluice.infrastructure.errors import UnavailableError
from sluice.infrastructure.locks import locked
from sluice.infrastructure.say import Say

FILES: Final = resources.files("sluice.infrastructure") / "files"
_MAVEN_SECONDS_MAX: Final = 300
_REQUEST_SECONDS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar by its Maven coordinates, with the SHA-256 of its bytes in hexadecimal."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name Maven gives it."""
        return f"{self.artifact}-{self.version}.jar"


def known_jars() -> list[Jar]:
    """Every jar of the broker: what the pom leads to, written down with hashes."""
    jars = []
    for line in (FILES / "kafka-jars.txt").read_text(encoding="utf-8").splitlines():
        coordinates, sha256 = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, sha256))
    return jars


def find_jars(cache: Path, say: Say) -> list[Path]:
    """The jars of Apache Kafka, sorted by name, from the cache or fetched into it.

    The cache folder is named by the hash of what is wanted and appears whole or not at all, so that several at the
    same time are safe. Raises UnavailableError if they can be had neither by Maven nor by jgo.
    """
    wanted = (FILES / "kafka-pom.xml").read_bytes() + (FILES / "kafka-jars.txt").read_bytes()
    folder = cache / f"kafka-{hashlib.sha256(wanted).hexdigest()[:16]}"
    with locked(cache / "kafka.lock"):
        if not folder.exists():
            _fetch(folder, say)
    return sorted(folder.glob("*.jar"))


def _fetch(folder: Path, say: Say) -> None:
    reasons = []
    ways = [("jgo", _fetch_by_jgo)]
    if shutil.which("mvn") is not None:  # it knows the machine's mirrors and credentials
        ways.insert(0, ("mvn", _fetch_by_maven))
    for name, fetch in ways:
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            jars = Path(work) / "jars"
            jars.mkdir()
            say(f"fetching Apache Kafka's jars by {name} (44 MB, once)")
            try:
                fetch(Path(work), jars)
                _check(jars)
            except UnavailableError as error:
                reasons.append(f"{name}: {error}")
                continue
            jars.rename(folder)
            return
    raise UnavailableError("Apache Kafka's jars cannot be had: " + "; ".join(reasons))


def _fetch_by_maven(work: Path, jars: Path) -> None:
    pom = work / "pom.xml"
    pom.write_bytes((FILES / "kafka-pom.xml").read_bytes())
    command = ["mvn", "-q", "-B", "-C", "-f", str(pom), f"-Dmaven.repo.local={work / 'repository'}"]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
    try:
        subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=_MAVEN_SECONDS_MAX, check=True
        )
    except subprocess.CalledProcessError as error:
        raise UnavailableError((error.stdout or error.stderr).strip()[-400:]) from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"not done within {_MAVEN_SECONDS_MAX} s") from error


def _fetch_by_jgo(work: Path, jars: Path) -> None:
    context = MavenContext(repo_cache=work / "repository", timeout=_REQUEST_SECONDS_MAX)
    for jar in known_jars():
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            shutil.copy(component.artifact().resolve(), jars / jar.file_name)
        except Exception as error:  # the library raises whatever its transport raises
            raise UnavailableError(f"{jar.file_name}: {error}") from error


def _check(jars: Path) -> None:
    for jar in known_jars():
        path = jars / jar.file_name
        if not path.exists():
            raise UnavailableError(f"{jar.file_name} is missing")
        if hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
            raise UnavailableError(f"{jar.file_name} is not the one we know: its hash differs")
