"""Whether what is published holds only what the contract names."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel


def unknown_fields(model: type[BaseModel], body: Mapping[str, Any], path: str = "") -> list[str]:
    """The paths of fields, at any depth, that the message's model does not have: a tolerant reader overlooks them."""
    known = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
    found: list[str] = []
    for name, value in body.items():
        if name not in known:
            found.append(f"{path}{name}")
            continue
        inner = next(_models_in(known[name]), None)
        if inner is None:
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                found += unknown_fields(inner, part, f"{path}{name}.")
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field's type names, such as the one of a list's members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
