"""From bytes to a checked body, or one error that says what is wrong by field (domain.md section 7)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jiter
from pydantic import BaseModel, ValidationError

from shared.contracts.catalogue import MessageType

VALUE_BYTES_MAX: Final = 8 * 1024 * 1024
DEPTH_MAX: Final = 50
ERRORS_MAX: Final = 20
"""Most field errors that are told of one message."""

_FRAMED: Final = (
    "the value is framed by a schema registry: a zero byte and the id of a schema stand before it; "
    "send the JSON alone, with a serializer that uses no registry"
)
_FIELD_LENGTH_MAX: Final = 200
_DUPLICATE_KEY: Final = "Detected duplicate key"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field, for example `items[0].amount`; the empty field is the whole value."""

    field: str
    message: str


class ContractError(ValueError):
    """A message that the contract does not allow; `reason` and `errors` never repeat its values."""

    def __init__(self, reason: str, errors: Iterable[FieldError] = ()) -> None:
        self.errors: Final = list(errors)
        self.reason: Final = reason
        super().__init__(reason)


def refuse_framed(value: bytes | None) -> None:
    """Raise ContractError for a value in the wire format of schema registries, which begins with a zero byte."""
    if value is not None and value[:1] == b"\x00":
        raise ContractError(_FRAMED, [FieldError("", _FRAMED)])


def parse_object(value: bytes | None) -> dict[str, Any]:
    """Parse a JSON object: UTF-8, at most 8 MiB, at most 50 levels, no NaN or infinity, no key twice.

    Raises ContractError, and nothing else, for every other value; None is a tombstone.
    """
    if value is None:
        raise ContractError("the message has no value")
    if len(value) > VALUE_BYTES_MAX:
        raise ContractError(f"the value has more than {VALUE_BYTES_MAX} bytes")
    try:
        parsed = jiter.from_json(value, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise ContractError(_why_not_json(str(error))) from None
    if type(parsed) is not dict:
        raise ContractError("the value is not a JSON object")
    # Each level opens a bracket of its own, so few brackets mean few levels; only longer values are walked.
    if value.count(b"{") + value.count(b"[") > DEPTH_MAX and _is_too_deep(parsed):
        raise ContractError(f"the value is nested more than {DEPTH_MAX} levels deep")
    return parsed


def validate_body(
    message_type: MessageType, body: dict[str, Any], model: type[BaseModel] | None = None
) -> BaseModel:
    """Check a parsed body against its type's model, or a part of it. Raises ContractError with what is wrong."""
    try:
        return (model or message_type.body_model).model_validate(body)
    except ValidationError as error:
        errors = _field_errors(error)
    except RecursionError:
        raise ContractError("the value is nested too deep") from None
    first = errors[0]
    raise ContractError(
        f"not a valid {message_type.type}: {first.field or 'the body'} {first.message}", errors
    )


def decode_body(message_type: MessageType, value: bytes | None) -> BaseModel:
    """The body of a message of this type; for every value that is not one, ContractError and nothing else."""
    return validate_body(message_type, parse_object(value))


def _why_not_json(message: str) -> str:
    if message.startswith(_DUPLICATE_KEY):
        return "the value has an object with the same key twice"
    return f"the value is not JSON in UTF-8: {message}"


def _is_too_deep(parsed: dict[str, Any]) -> bool:
    level: list[Any] = [parsed]
    for _ in range(DEPTH_MAX):
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) is dict or type(member) is list
        ]
        if not level:
            return False
    return True


def _field_errors(error: ValidationError) -> list[FieldError]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldError(_path(detail["loc"]), detail["msg"]) for detail in details[:ERRORS_MAX]]


def _path(location: tuple[int | str, ...]) -> str:
    """`("items", 0, "amount")` is `items[0].amount`; a sender's own key is cut, and shown printable."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step[:_FIELD_LENGTH_MAX]}" if path else step[:_FIELD_LENGTH_MAX]
    return "".join(character if character.isprintable() else "?" for character in path[:_FIELD_LENGTH_MAX])
