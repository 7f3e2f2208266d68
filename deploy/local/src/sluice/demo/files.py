"""The files of the demo's documents, fetched from the service and left in a folder."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from sluice.client import CallError

FORMATS: Final = ("xml", "pdf")
_AT_ONCE: Final = 4
_SECONDS_MAX: Final = 120.0


async def keep_files(
    url: str, token: str, documents: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, Any]:
    """Leave the XML and the PDF of every document in the folder, as `<company>-<number>.<format>`.

    Returns how many were `kept`, and by file name why the others were `refused`: the service's code. Raises CallError
    for any other answer.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    turns = asyncio.Semaphore(_AT_ONCE)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=_SECONDS_MAX, trust_env=False
    ) as client:

        async def keep(document: Mapping[str, Any], file_format: str) -> tuple[str, str | None]:
            name = f"{document['company']['id']}-{document['number']}.{file_format}"
            async with turns:
                content, code = await _file(client, document["document_id"], file_format)
            if content is not None:
                await asyncio.to_thread((folder / name).write_bytes, content)
            return name, code

        told = await asyncio.gather(
            *(keep(document, file_format) for document in documents for file_format in FORMATS)
        )
    refused = {name: code for name, code in told if code is not None}
    return {"kept": len(told) - len(refused), "refused": refused}


async def _file(
    client: httpx.AsyncClient, document_id: str, file_format: str
) -> tuple[bytes | None, str | None]:
    """The file, or the code of why it cannot be made."""
    path = f"/documents/{document_id}.{file_format}"
    try:
        answer = await client.get(path)
    except httpx.HTTPError as error:
        raise CallError(f"{client.base_url} cannot be reached: {error}") from error
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        return None, str(answer.json()["code"])
    if not answer.is_success:
        raise CallError(f"GET {path}: {answer.status_code} {answer.text[:300]}")
    return answer.content, None
