"""The judge of AsyncAPI: the project's own parser, which comes by name from npm, once."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sluice.folders import user_cache
from sluice.infrastructure.locks import locked

VERSION: Final = "3.6.3"
_NPM_SECONDS_MAX: Final = 240
_JUDGE_SECONDS_MAX: Final = 300
_PROGRAM: Final = """
const { Parser } = require('@asyncapi/parser'), fs = require('fs');
(async () => {
  const found = {};
  for (const file of process.argv.slice(1)) {
    const diagnostics = await new Parser().validate(fs.readFileSync(file, 'utf8'), { source: file });
    found[file] = diagnostics.filter((each) => each.severity === 0).map((each) => each.code);
  }
  console.log(JSON.stringify(found));
})();
"""


class UnavailableError(Exception):
    """The judge cannot be had on this machine; the message says why."""


class DocumentJudge:
    """The parser, run by Node.js."""

    def __init__(self) -> None:
        """Find or fetch it. Raises UnavailableError without Node.js, or without npm where nothing is cached."""
        if shutil.which("node") is None:
            raise UnavailableError("the parser needs Node.js, and there is no node on the PATH")
        self._folder = user_cache() / f"asyncapi-parser-{VERSION}"
        with locked(user_cache() / "asyncapi-parser.lock"):
            if not self._folder.exists():
                _fetch(self._folder)

    def errors(self, files: Sequence[Path]) -> dict[str, list[str]]:
        """The codes of what is wrong with each file, by its name; all in one run."""
        command = ["node", "-e", _PROGRAM, *map(str, files)]
        answer = subprocess.run(
            command, cwd=self._folder, capture_output=True, timeout=_JUDGE_SECONDS_MAX, check=True
        )
        found: dict[str, list[str]] = json.loads(answer.stdout)
        return {Path(file).name: codes for file, codes in found.items()}


def _fetch(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise UnavailableError("the parser comes by npm, and there is no npm on the PATH")
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        parser = Path(work) / "parser"
        parser.mkdir()
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        command += ["--prefix", str(parser), f"@asyncapi/parser@{VERSION}"]
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_NPM_SECONDS_MAX, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"the parser cannot be had: {str(error.stderr)[-400:]}") from error
        parser.rename(folder)
