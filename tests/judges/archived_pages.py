"""The judge of PDF/A: veraPDF, whose jars come by name from Maven, once."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sluice.folders import user_cache
from sluice.infrastructure.locks import locked

_POM: Final = Path(__file__).with_name("verapdf-pom.xml")
_MAVEN_SECONDS_MAX: Final = 300
_JUDGE_SECONDS_MAX: Final = 300


class UnavailableError(Exception):
    """The judge cannot be had on this machine; the message says why."""


class PageJudge:
    """veraPDF, for PDF/A-3b."""

    def __init__(self) -> None:
        """Find or fetch the jars. Raises UnavailableError without Java, or without Maven where nothing is cached."""
        if shutil.which("java") is None:
            raise UnavailableError("veraPDF needs Java, and there is no java on the PATH")
        name = hashlib.sha256(_POM.read_bytes()).hexdigest()[:16]
        self._jars = user_cache() / f"verapdf-{name}"
        with locked(user_cache() / "verapdf.lock"):
            if not self._jars.exists():
                _fetch(self._jars)

    def failures(self, files: Sequence[Path]) -> dict[str, list[str]]:
        """What is wrong with each file, by its name: failed clauses, none for a good one; all in one run."""
        command = ["java", "-cp", f"{self._jars}/*", "org.verapdf.apps.GreenfieldCliWrapper"]
        command += ["--format", "json", "-f", "3b", *map(str, files)]
        answer = subprocess.run(command, capture_output=True, timeout=_JUDGE_SECONDS_MAX, check=False)
        jobs = json.loads(answer.stdout)["report"]["jobs"]
        verdicts = {Path(job["itemDetails"]["name"]).name: _clauses(job) for job in jobs}
        assert verdicts.keys() == {file.name for file in files}, "every file was judged"
        return verdicts


def _clauses(job: dict[str, object]) -> list[str]:
    results = job["validationResult"]
    assert isinstance(results, list), "the judge read the file"
    found = []
    for result in results:
        clauses = [f"{rule['clause']}-{rule['testNumber']}" for rule in result["details"]["ruleSummaries"]]
        assert bool(clauses) != result["compliant"], "a verdict has its reasons"
        found += clauses
    return found


def _fetch(folder: Path) -> None:
    if shutil.which("mvn") is None:
        raise UnavailableError("veraPDF's jars come by Maven, and there is no mvn on the PATH")
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        jars = Path(work) / "jars"
        command = ["mvn", "-q", "-B", "-C", "-f", str(_POM), f"-Dmaven.repo.local={work}/repository"]
        command += ["dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_SECONDS_MAX, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"veraPDF's jars cannot be had: {str(error.stdout)[-400:]}") from error
        jars.rename(folder)
