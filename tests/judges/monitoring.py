"""What dashboards and alert rules ask of Prometheus: metrics and labels, as its own language has them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

_INNER = ("lhs", "rhs", "expr", "args", "param", "vector_selector")


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression, with the metrics and the labels that it names."""

    place: str
    metrics: frozenset[str]
    labels: frozenset[str]


def read_expression(place: str, text: str) -> Asked:
    """What the expression asks for. Raises ValueError if it is not PromQL."""
    metrics, labels = set[str](), set[str]()
    for node in _nodes(promql_parser.parse(text)):
        if isinstance(node, promql_parser.VectorSelector):
            metrics.add(node.name or "")
            labels |= {matcher.name for matcher in node.matchers.matchers}
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels |= set(node.modifier.labels)
    return Asked(place, frozenset(metrics), frozenset(labels))


def alert_rules(path: Path) -> list[dict[str, Any]]:
    """The rules of a file of Prometheus."""
    content = yaml.safe_load(path.read_text("utf-8"))
    return [rule for group in content["groups"] for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    """The panels of a dashboard that show something."""
    return [panel for panel in json.loads(path.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for name in _INNER:
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from _nodes(each)
