"""The OpenAPI 3.1 documents of the four services, made from their code.

`python -m sluice.openapi docs/contract/openapi` writes them.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from shared.database.database import Database
from shared.http.health import HealthRegistry
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import TokenVerifier
from shared.service import make_application, schema_of
from sluice.compositions import COMPOSITIONS, Composition

# Nothing of it is reached: a document needs the routes alone.
_NOWHERE: Final = {
    "kafka_bootstrap_servers": "127.0.0.1:1",
    "database_url": "postgresql://127.0.0.1:1/none",
    "oidc_issuer": "http://127.0.0.1:1",
    "smtp_url": "smtp://127.0.0.1:1",
    "mail_from": "billing@example.com",
}


def openapi_document(composition: Composition) -> dict[str, Any]:
    """The document that a service serves at `/openapi.json`."""
    settings = composition.settings.model_validate(_NOWHERE)
    name = composition.name
    database = Database(_NOWHERE["database_url"], schema=schema_of(name), application_name="openapi")
    issuer = settings.oidc_issuer
    application = make_application(
        name,
        composition.compose(settings)(database),
        database=database,
        verifier=TokenVerifier(issuer, settings.oidc_audience, SigningKeys(issuer, None)),
        health=HealthRegistry(),
    )
    return application.openapi()


def rendered_documents() -> dict[str, str]:
    """The text of each document by its file's name."""
    return {
        f"{composition.name}.json": json.dumps(
            openapi_document(composition), indent=1, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for composition in COMPOSITIONS
    }


def main(folder: Path) -> None:
    """Write the documents into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered_documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
