"""Settings of the release service (contract.md section 4)."""

from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from release.domain.settings import OnChunkFailure, RecordGuard, ReleaseSettings
from release.domain.sources import CompanySource
from shared.settings import CommaSeparated, ServiceSettings

_REQUIRED_ON_RELEASE: Final = ("account", "company", "currency", "services_product")
"""What an event needs to be released, unless the setting OPTIONAL_ON_RELEASE names it (domain.md section 2)."""


class Settings(ServiceSettings):
    """What the release service takes from its environment."""

    http_port: Annotated[int, Field(ge=0, le=65535)] = 8101
    release_batch_size: Annotated[int, Field(ge=1, le=100_000)] = 200
    validation_limit: Annotated[int, Field(ge=0, le=100_000)] = 200
    disable_billing_closer_to_cap: bool = False
    on_chunk_failure: OnChunkFailure = OnChunkFailure.FAIL
    record_guard: RecordGuard = RecordGuard.REFUSE
    optional_on_release: CommaSeparated = ()
    company_source: CompanySource = CompanySource.PROJECT
    incomplete_alert_days: Annotated[int, Field(ge=1, le=3_650)] = 2
    reconciliation_seconds: Annotated[int, Field(ge=10, le=86_400)] = 300

    @field_validator("optional_on_release", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part for name in value.split(",") if (part := name.strip()))
        return value

    @field_validator("optional_on_release")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in _REQUIRED_ON_RELEASE]
        if unknown:
            raise ValueError(f"names {', '.join(unknown)}; it may name {', '.join(_REQUIRED_ON_RELEASE)}")
        return names

    @property
    def release(self) -> ReleaseSettings:
        """The part of the settings that release decisions depend on."""
        return ReleaseSettings(
            support_contact=self.support_contact,
            release_batch_size=self.release_batch_size,
            disable_billing_closer_to_cap=self.disable_billing_closer_to_cap,
            on_chunk_failure=self.on_chunk_failure,
            record_guard=self.record_guard,
            optional_on_release=frozenset(self.optional_on_release),
        )
