"""Custom fields: a bounded JSON object that mappings and extra criteria may use (contract.md section 1)."""

import math
from typing import Annotated, Final

from pydantic import JsonValue, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

FIELDS_DEPTH_MAX: Final = 10
FIELDS_KEYS_MAX: Final = 200
FIELDS_SIZE_MAX: Final = 65_536
"""Most characters of all keys and texts together; every other value counts as one."""

_INTEGER_MAX: Final = 2**63 - 1


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("custom_fields", "{reason}", {"reason": message})


def _checked_text(text: str) -> int:
    if "\x00" in text:
        raise _refused("should hold no NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused("should hold no lone surrogate") from None
    return len(text)


def _checked_scalar(value: object) -> int:
    """Check a value that holds no others, and say how much it counts."""
    match value:
        case str():
            return _checked_text(value)
        case None | bool():
            return 1
        case int():
            if abs(value) > _INTEGER_MAX:
                raise _refused("should hold no integer beyond 64 bits; a longer one is sent as text")
            return 1
        case float():
            if not math.isfinite(value):
                raise _refused("should hold no NaN or infinity")
            return 1
        case _:
            raise _refused("should hold JSON values only")


def check_custom_fields(value: object) -> dict[str, JsonValue]:
    """The object itself, if it is a JSON object within the bounds; else PydanticCustomError says why not."""
    if type(value) is not dict:
        raise _refused("should be a JSON object")
    if not value:
        return value
    keys = size = 0
    level: list[object] = [value]
    for _ in range(FIELDS_DEPTH_MAX):
        below: list[object] = []
        for container in level:
            if isinstance(container, dict):
                keys += len(container)
                if not all(isinstance(key, str) for key in container):
                    raise _refused("should have text as keys")
                size += sum(map(_checked_text, container))
                members: list[object] = list(container.values())
            else:
                assert isinstance(container, list)
                members = container
            for member in members:
                if isinstance(member, (dict, list)):
                    below.append(member)
                    size += 1
                else:
                    size += _checked_scalar(member)
            if keys > FIELDS_KEYS_MAX or size > FIELDS_SIZE_MAX:
                raise _refused(f"should have at most {FIELDS_KEYS_MAX} keys and {FIELDS_SIZE_MAX} characters")
        if not below:
            return value
        level = below
    raise _refused(f"should be nested at most {FIELDS_DEPTH_MAX} deep")


CustomFields = Annotated[
    dict[str, JsonValue],
    PlainValidator(check_custom_fields),
    WithJsonSchema({"type": "object", "maxProperties": FIELDS_KEYS_MAX}),
]
