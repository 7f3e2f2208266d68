"""Where a sample holds what: every object in it with the model that reads it, whatever its depth."""

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from contract.samples import Body

Steps = tuple[str | int, ...]


class Place(NamedTuple):
    """One object of a sample: how to get there, and its model."""

    steps: Steps
    model: type[BaseModel]


class FieldPlace(NamedTuple):
    """One field of one object of a sample, by its name on the wire."""

    steps: Steps
    name: str
    info: FieldInfo

    @property
    def path(self) -> str:
        """As an error names it: `items[0].amount`."""
        path = ""
        for step in (*self.steps, self.name):
            path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        return path


def places(model: type[BaseModel], body: Body, steps: Steps = ()) -> Iterator[Place]:
    """The object itself and every object within it that has a model of its own."""
    yield Place(steps, model)
    for name, info in model.model_fields.items():
        wire_name = info.alias or name
        inner = _model_within(info.annotation)
        value = body.get(wire_name)
        if inner is None or not value:
            continue
        if _is_mapping(info.annotation):
            for key, member in value.items():
                yield from places(inner, member, (*steps, wire_name, key))
        elif isinstance(value, list):
            yield from places(inner, value[0], (*steps, wire_name, 0))
        else:
            yield from places(inner, value, (*steps, wire_name))


def fields(model: type[BaseModel], body: Body) -> Iterator[FieldPlace]:
    """Every field that the sample gives, in every object of it."""
    for place in places(model, body):
        for name, info in place.model.model_fields.items():
            wire_name = info.alias or name
            if wire_name in at(body, place.steps):
                yield FieldPlace(place.steps, wire_name, info)


def at(body: Body, steps: Steps) -> Any:
    """What stands there."""
    found: Any = body
    for step in steps:
        found = found[step]
    return found


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(
        (found for inner in get_args(annotation) if (found := _model_within(inner)) is not None), None
    )


def _is_mapping(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is dict
