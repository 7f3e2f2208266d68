"""The process that makes files: reads a document from its input, writes a file or the reasons against it, and again.

Run as `python -m accounting_connector.rendering.worker`. It is given no secrets, opens no connection and may write no
file, so that a text which breaks a library breaks nothing else. It ends when its input ends, thus with the service.
A request is a length and a pickle of the format and the `Rendering`s; it is answered for each in turn, by a letter, a
length and its bytes: a file, or reasons as JSON.
"""

import contextlib
import json
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

from accounting_connector.rendering.model import NotRenderedError, Rendering
from accounting_connector.rendering.pdf import pdf_of
from accounting_connector.rendering.ubl import ubl_of

if sys.platform != "win32":
    import resource

REQUEST: Final = struct.Struct(">Q")
ANSWER: Final = struct.Struct(">cQ")
FILE: Final = b"F"
REASONS: Final = b"R"

_MAKERS: Final[dict[str, Callable[[Rendering], bytes]]] = {"xml": ubl_of, "pdf": pdf_of}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        (length,) = REQUEST.unpack(head)
        # The only writer of this pipe is the service itself.
        file_format, renderings = pickle.loads(requests.read(length))  # noqa: S301
        for rendering in renderings:
            kind, body = _answer(file_format, rendering)
            answers.write(ANSWER.pack(kind, len(body)))
            answers.write(body)
        answers.flush()


def _answer(file_format: str, rendering: Rendering) -> tuple[bytes, bytes]:
    try:
        return FILE, _MAKERS[file_format](rendering)
    except NotRenderedError as error:
        reasons = [
            {"code": reason.code, "message": reason.message, "detail": dict(reason.detail)}
            for reason in error.reasons
        ]
    except Exception as error:  # noqa: BLE001 - one document must not take the next ones with it
        message = f"The {file_format} could not be made: {type(error).__name__}: {error}"
        reasons = [{"code": "rendering_failed", "message": message[:1000], "detail": {}}]
    return REASONS, json.dumps(reasons).encode()


def limit_resources(memory_bytes_max: int) -> None:
    """Bound what this process may take, where the system can: address space, no core files, no files written."""
    if sys.platform == "win32":
        return
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes_max),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        # Some systems know a limit and yet refuse to set it.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    # An interrupt from the keyboard is the service's: it ends this process by ending its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_resources(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer)
