"""The mail catcher as a process of our own, bound to the loopback interface."""

import sys
from pathlib import Path
from typing import Final

from sluice.infrastructure.errors import AddressInUseError
from sluice.infrastructure.ports import LOOPBACK, listens, preferred_port
from sluice.infrastructure.processes import Command, ManagedProcess

START_SECONDS_MAX: Final = 30.0
_START_TRIES_MAX: Final = 4


class MailCatcher:
    """Takes every mail, shows it on a page, and delivers it to nobody. After the first start it keeps its ports."""

    description: Final = "catcher (process)"
    state: Final = "in memory"

    def __init__(
        self, folder: Path, run_folder: Path, *, smtp_port: int | None = None, page_port: int | None = None
    ) -> None:
        self._folder = folder
        self._run_folder = run_folder
        self._wanted = (smtp_port, page_port)
        self._process: ManagedProcess | None = None
        self.smtp_port = 0
        self.page_port = 0

    @property
    def smtp_url(self) -> str:
        """Where mail is sent to, as `SMTP_URL` has it."""
        return f"smtp://{LOOPBACK}:{self.smtp_port}"

    @property
    def page_url(self) -> str | None:
        """Where the mails are shown; `/mails` answers in JSON."""
        return f"http://{LOOPBACK}:{self.page_port}"

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Start it and wait until both ports answer. Raises StartError if it does not come up."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _START_TRIES_MAX + 1):
            wanted = self._wanted if attempt == 1 else (None, None)
            smtp_port = self.smtp_port or preferred_port(wanted[0])
            page_port = self.page_port or preferred_port(wanted[1])
            try:
                self._start_on(smtp_port, page_port)
            except AddressInUseError:
                if attempt == _START_TRIES_MAX:
                    raise
            else:
                self.smtp_port, self.page_port = smtp_port, page_port
                return

    def stop(self) -> None:
        """End it; the mails it kept go with it."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash does (kill -9)."""
        if self._process is not None:
            self._process.kill()

    def _start_on(self, smtp_port: int, page_port: int) -> None:
        arguments = [sys.executable, "-m", "sluice.infrastructure.mail_catcher"]
        arguments += ["--smtp-port", str(smtp_port), "--page-port", str(page_port)]
        command = Command(
            name="mail",
            arguments=arguments,
            folder=self._folder,
            log=self._folder / "mail.log",
            stop_seconds=10,
        )
        self._process = process = ManagedProcess(command, self._run_folder)
        process.start()
        pid = process.pid or 0
        process.wait_until(lambda: listens(pid, smtp_port) and listens(pid, page_port), START_SECONDS_MAX)
