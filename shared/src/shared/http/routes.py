"""The route table of an application: every method and path, and which scope each of them needs."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from shared.http.authorization import OPEN_PATHS, RequireScope

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One method of one path. `scopes` is None where no dependency asks for a token's scope."""

    method: str
    path: str
    endpoint: Callable[..., Any]
    scopes: frozenset[str] | None

    def matches(self, path: str) -> bool:
        """Whether a request for `path` is for this route's path."""
        pattern: re.Pattern[str] = compile_path(self.path)[0]
        return pattern.match(path) is not None


def routes_of(application: FastAPI) -> list[RouteEntry]:
    """All routes of an application."""
    entries = []
    for context in iter_route_contexts(application.routes):
        if context.path is None or context.endpoint is None:
            continue
        dependant = getattr(context, "dependant", None)
        scopes = None if dependant is None else _needed_scopes(dependant)
        entries += [
            RouteEntry(method, context.path, context.endpoint, scopes)
            for method in sorted(METHODS.intersection(context.methods or ()))
        ]
    return entries


def scopes_of(application: FastAPI) -> dict[tuple[str, str], frozenset[str]]:
    """The scopes that a token needs for each method and path; empty where any valid token will do."""
    return {
        (route.method, route.path): route.scopes
        for route in routes_of(application)
        if route.scopes is not None
    }


def routes_without_scope(application: FastAPI) -> list[tuple[str, str]]:
    """Methods and paths that ask for no scope although they are not among the open ones: there must be none."""
    return [
        (route.method, route.path)
        for route in routes_of(application)
        if route.scopes is None and route.path not in OPEN_PATHS
    ]


def _needed_scopes(dependant: Dependant) -> frozenset[str] | None:
    needs = [needed.call for needed in _tree(dependant) if isinstance(needed.call, RequireScope)]
    if not needs:
        return None
    return frozenset(need.scope for need in needs if need.scope is not None)


def _tree(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _tree(inner)
