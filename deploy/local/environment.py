"""Makes .venv from the locks in requirements/, with nothing but Python's standard library. `make setup` runs it.

It needs Python 3.11 or newer and either its `ensurepip` or its `pip`: those fetch uv, by the hashes in
requirements/uv.txt; uv fetches everything else, by the hashes in requirements/all.txt. Nothing is built from source:
the workspace's own packages are installed editable, without network. When nothing has changed it ends at once.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BOOTSTRAP = VENV / "bootstrap"
STAMP = VENV / "made-from"
PYTHON_VERSION_MIN = (3, 11)


def main() -> None:
    """Bring .venv up to date; two at the same time wait for each other."""
    if sys.version_info < PYTHON_VERSION_MIN:
        sys.exit("Python 3.11 or newer is needed; name one with `make PYTHON=/path/to/python3`.")
    with (ROOT / "requirements" / "all.txt").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_current():
            return
        STAMP.unlink(missing_ok=True)
        make_environment()
        uv = bootstrap_uv()
        install(uv)
        STAMP.write_text(fingerprint(), encoding="utf-8")
    print(f"{VENV} is ready")


def packages() -> list[Path]:
    """The workspace's own packages."""
    return [
        ROOT / "shared",
        *sorted(path.parent for path in ROOT.glob("services/*/pyproject.toml")),
        ROOT / "deploy/local",
    ]


def fingerprint() -> str:
    """What .venv is made from: this program, the locks, the packages' metadata, and where it all lies."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    files = [
        Path(__file__).resolve(),
        *sorted((ROOT / "requirements").glob("*.txt")),
        *(package / "pyproject.toml" for package in packages()),
    ]
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Whether .venv works and was made from what is there now."""
    try:
        if STAMP.read_text(encoding="utf-8") != fingerprint():
            return False
    except OSError:
        return False
    return runs()


def runs() -> bool:
    """Whether .venv has a Python of this version that starts."""
    check = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    try:
        return subprocess.run([PYTHON, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_environment() -> None:
    """Make .venv unless a working one of this Python's version is there."""
    if not runs():
        print(f"making {VENV} with Python {sys.version.split()[0]}", flush=True)
        venv.EnvBuilder(clear=VENV.exists(), symlinks=True, with_pip=False).create(VENV)


def bootstrap_uv() -> Path:
    """The path of uv, installed by its hash into a folder of its own inside .venv."""
    uv = BOOTSTRAP / "bin" / "uv"
    wanted = hashlib.sha256((ROOT / "requirements" / "uv.txt").read_bytes()).hexdigest()
    made_from = BOOTSTRAP / "made-from"
    if uv.exists() and made_from.exists() and made_from.read_text(encoding="utf-8") == wanted:
        return uv
    shutil.rmtree(BOOTSTRAP, ignore_errors=True)
    pip = pip_command()
    options = ["--quiet", "--require-hashes", "--only-binary", ":all:", "--no-warn-script-location"]
    run([*pip, "install", *options, "--target", str(BOOTSTRAP), "-r", str(ROOT / "requirements" / "uv.txt")])
    made_from.write_text(wanted, encoding="utf-8")
    return uv


def pip_command() -> list[str]:
    """A pip that runs: this Python's own, else one made by ensurepip in a folder inside .venv."""
    if (
        subprocess.run(
            [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode
        == 0
    ):
        return [sys.executable, "-m", "pip"]
    folder = VENV / "pip"
    try:
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(folder)
    except subprocess.CalledProcessError:
        sys.exit(
            "This Python has neither pip nor ensurepip; install one of them (Debian: python3-venv or python3-pip)."
        )
    return [str(folder / "bin" / "python"), "-m", "pip"]


def install(uv: Path) -> None:
    """Make .venv hold exactly what the lock names, and the workspace's own packages.

    All is compiled at once: a system is a dozen processes, and where PYTHONDONTWRITEBYTECODE is set (containers like
    to set it) each of them would compile all that it imports, which makes its start three times as long.
    """
    print("installing from requirements/all.txt", flush=True)
    target = ["--quiet", "--python", str(PYTHON)]
    lock = str(ROOT / "requirements" / "all.txt")
    run([str(uv), "pip", "sync", *target, "--compile-bytecode", "--require-hashes", lock])
    editable = [word for package in packages() for word in ("-e", str(package))]
    run([str(uv), "pip", "install", *target, "--no-deps", "--no-build-isolation", "--offline", *editable])
    run([str(PYTHON), "-m", "compileall", "-q", *(str(package / "src") for package in packages())])


def run(command: list[str]) -> None:
    """Run a command, or end with its exit code."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment.setdefault("PIP_ROOT_USER_ACTION", "ignore")  # the folder is our own, whoever we are
    environment.setdefault("UV_CACHE_DIR", str(cache_folder()))
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if code:
        sys.exit(f"{Path(command[0]).name} {command[1]} failed with exit code {code}")


def cache_folder() -> Path:
    """Where uv keeps what it fetched: the user's cache, or inside .venv where there is no home to write to."""
    home = os.environ.get("XDG_CACHE_HOME") or (
        f"{os.environ['HOME']}/.cache" if os.environ.get("HOME") else ""
    )
    folder = Path(home) / "uv" if home else VENV / "uv-cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return VENV / "uv-cache"
    return folder if os.access(folder, os.W_OK) else VENV / "uv-cache"


if __name__ == "__main__":
    main()
