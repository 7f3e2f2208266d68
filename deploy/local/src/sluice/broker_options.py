"""How commands reach the brokers: as the services do, with the same settings from the environment."""

from typing import Any

from pydantic import SecretStr, ValidationError

from shared.kafka_options import client_options
from shared.settings import ServiceSettings, end_for, secrets_folder


def broker_options(bootstrap_servers: str) -> dict[str, Any]:
    """Keyword arguments of any aiokafka client; security settings come from the environment (contract.md section 4).

    Ends the process with exit code 2 and a sentence if one of them is wrong.
    """
    try:
        settings = ServiceSettings(
            kafka_bootstrap_servers=bootstrap_servers,
            # Commands need neither a database nor an issuer to talk to a broker, the settings' class wants both.
            database_url=SecretStr("postgresql://none"),
            oidc_issuer="http://none",
            http_port=0,
            _secrets_dir=secrets_folder(),
        )
    except ValidationError as error:
        end_for(error)
    return client_options(settings)
