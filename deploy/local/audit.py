"""Asks the advisory service whether a locked dependency has a known weakness. `make check` runs it.

Exit code 1 if one has. Where the service cannot be reached, or does not know the packages, it says so and that is not
a failure: a machine without network can still check everything else.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run pip-audit over the lock and tell what it found."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "requirements/all.txt")]
    command += ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        dependencies: list[dict[str, Any]] = json.loads(answer.stdout)["dependencies"]
    except ValueError:
        print(
            f"dependencies: NOT checked, the advisory service gave no answer ({answer.stderr.strip()[-200:]})"
        )
        return
    known = [dependency for dependency in dependencies if "skip_reason" not in dependency]
    print(
        f"dependencies: {len(known)} of {len(dependencies)} are known to the advisory service and were checked"
    )
    weak = [dependency for dependency in known if dependency["vulns"]]
    for dependency in weak:
        found = ", ".join(
            f"{weakness['id']} (mended in {weakness['fix_versions']})" for weakness in dependency["vulns"]
        )
        print(f"{dependency['name']} {dependency['version']}: {found}")
    sys.exit(1 if weak else 0)


if __name__ == "__main__":
    main()
