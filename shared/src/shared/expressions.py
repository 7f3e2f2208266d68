"""Sandboxed boolean expressions over named fields: extra criteria and review rules (domain.md sections 4, 5).

An expression is written like `category != "expense"`, `total_net > 100` or
`any(line.amount > 50 for line in lines)`. It may use: fields by name, entries of objects (`account.name`,
`fields["region"]`), literals (numbers, text, `true`, `false`, `null`, lists), `and`, `or`, `not`,
comparisons, `in`, `+ - * /`, and the functions `abs`, `all`, `any`, `len`, `max`, `min`, `number`, `sum`.
Numbers are exact decimals: `0.1` is the decimal one tenth, never a binary float.

Everything else is refused when the expression is compiled. Length, depth and steps are limited. `simpleeval`
walks the tree; docs/decisions/0006-expressions.md says why.
"""

import ast
import re
import threading
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, cast

import simpleeval

from shared.expression_operations import FUNCTIONS, OPERATORS, ExpressionError, kind_of, truth_of

__all__ = [
    "DEPTH_MAX",
    "LENGTH_MAX",
    "STEPS_MAX",
    "Expression",
    "ExpressionError",
    "compile_expression",
    "evaluate",
]

LENGTH_MAX: Final = 1000
"""Most characters of an expression."""

DEPTH_MAX: Final = 30
"""Most levels of its syntax tree."""

STEPS_MAX: Final = 100_000
"""Most elements that all `for` parts of one evaluation may visit together."""

_NUMBER: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30}")
_WORDS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None}

_ALLOWED_NODES: Final = (
    ast.Attribute,
    ast.BinOp,
    ast.BoolOp,
    ast.Call,
    ast.Compare,
    ast.Constant,
    ast.GeneratorExp,
    ast.List,
    ast.Name,
    ast.Subscript,
    ast.Tuple,
    ast.UnaryOp,
    ast.comprehension,
    ast.boolop,
    ast.cmpop,
    ast.operator,
    ast.unaryop,
    ast.expr_context,
)

# The library keeps this limit in its module; its own is too low for `any(... for line in lines)` over our
# longest documents.
simpleeval.MAX_COMPREHENSION_LENGTH = STEPS_MAX


class _Evaluator(simpleeval.EvalWithCompoundTypes):  # type: ignore[misc]  # the library has no types
    """simpleeval with entries instead of attributes, strict truth and our operators and functions alone."""

    def __init__(self) -> None:
        super().__init__(operators=OPERATORS, functions=dict(FUNCTIONS), names={})
        self.functions = FUNCTIONS
        self.nodes[ast.Attribute] = lambda node: self._entry(node.value, node.attr)
        self.nodes[ast.Subscript] = lambda node: self._entry(node.value, node.slice.value)
        self.nodes[ast.BoolOp] = self._all_or_any

    def _check_disallowed_items(self, item: object) -> None:
        """Nothing to look for: attributes are never read and only our functions are ever called.

        The library would walk every list and object anew at every step.
        """

    def _entry(self, container_node: ast.expr, key: str) -> object:
        container = self._eval(container_node)
        if not isinstance(container, Mapping):
            raise ExpressionError(f"{kind_of(container)} has no {key!r}")
        # Custom fields are optional upstream: one that is absent is null, as if it had been sent empty.
        return container.get(key)

    def _all_or_any(self, node: ast.BoolOp) -> bool:
        truths = (truth_of(self._eval(value)) for value in node.values)
        return all(truths) if isinstance(node.op, ast.And) else any(truths)


class Expression:
    """A compiled expression, made by `compile_expression`; any thread may evaluate it, again and again."""

    __slots__ = ("_evaluator", "_lock", "_tree", "entries", "names", "text")

    text: str
    """As its author wrote it."""
    names: frozenset[str]
    """The fields that it names, so that its keeper can refuse what no record has."""
    entries: frozenset[tuple[str, str]]
    """List and entry of `list[].entry`, for each `variable.entry` inside `for variable in list`."""

    def __init__(
        self, text: str, tree: ast.expr, names: frozenset[str], entries: frozenset[tuple[str, str]]
    ) -> None:
        self.text = text
        self.names = names
        self.entries = entries
        self._tree = tree
        self._evaluator = _Evaluator()
        self._lock = threading.Lock()

    def evaluate(self, fields: Mapping[str, object]) -> bool:
        """Whether the expression holds over the fields.

        Values are text, bool, None, int, Decimal, and mappings, lists and tuples of these; dates are given as
        text. Raises ExpressionError for a name that is not a field, for values that do not fit together (a
        number compared with text, null compared by size), for division by zero, for too many steps, and where
        the outcome is neither true nor false.
        """
        try:
            with self._lock:
                self._evaluator.names = fields
                outcome = self._evaluator.eval(self.text, self._tree)
        except ExpressionError as error:
            raise ExpressionError(f"{self.text}: {error}") from error
        except simpleeval.NameNotDefined as error:
            raise ExpressionError(f"{self.text}: there is no field {error.name!r}") from error
        except simpleeval.IterableTooLong as error:
            raise ExpressionError(f"{self.text}: it takes more than {STEPS_MAX} steps") from error
        except (
            simpleeval.InvalidExpression,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise ExpressionError(f"{self.text}: {_explain(error)}") from error
        if not isinstance(outcome, bool):
            raise ExpressionError(f"{self.text}: gives {kind_of(outcome)}, neither true nor false")
        return outcome


def _explain(error: Exception) -> str:
    if isinstance(error, ArithmeticError):
        return "it cannot be computed (division by zero, or out of range)"
    return str(error)


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Expression:
    """The expression, checked against all limits.

    Raises ExpressionError, with a sentence for its author, for what is not a single allowed expression.
    """
    if not text.strip():
        raise ExpressionError("an expression cannot be empty")
    if len(text) > LENGTH_MAX:
        raise ExpressionError(f"an expression has at most {LENGTH_MAX} characters")
    source = text.strip()
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"{source[:80]}: this is not an expression") from error
    _check(source, tree)
    exact = cast("ast.expr", _ExactLiterals(source).visit(tree))
    called = {id(node.func) for node in ast.walk(exact) if isinstance(node, ast.Call)}
    named = [node for node in ast.walk(exact) if isinstance(node, ast.Name) and id(node) not in called]
    bound = {node.id for node in named if isinstance(node.ctx, ast.Store)}
    names = frozenset(node.id for node in named if node.id not in bound)
    return Expression(source, exact, names, frozenset(_entries(exact)))


def evaluate(text: str, fields: Mapping[str, object]) -> bool:
    """Whether the expression holds over the fields; compiled once, then kept. Raises ExpressionError."""
    return compile_expression(text).evaluate(fields)


def _entries(tree: ast.expr) -> Iterator[tuple[str, str]]:
    for generator in ast.walk(tree):
        if not isinstance(generator, ast.GeneratorExp):
            continue
        lists = {
            part.target.id: part.iter.id
            for part in generator.generators
            if isinstance(part.target, ast.Name) and isinstance(part.iter, ast.Name)
        }
        for node in ast.walk(generator):
            match node:
                case ast.Attribute(value=ast.Name(id=variable), attr=entry) if variable in lists:
                    yield lists[variable], entry
                case ast.Subscript(value=ast.Name(id=variable), slice=ast.Constant(value=str() as entry)) if (
                    variable in lists
                ):
                    yield lists[variable], entry


def _check(source: str, tree: ast.expr) -> None:
    """Raise ExpressionError unless every node is allowed. No recursion: depth is what is being limited."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise ExpressionError(f"{source[:80]}: nested more than {DEPTH_MAX} deep")
        refusal = _refusal(node)
        if refusal is not None:
            raise ExpressionError(f"{source[:80]}: {refusal}")
        waiting.extend((child, depth + 1) for child in ast.iter_child_nodes(node))


def _refusal(node: ast.AST) -> str | None:
    """Why the node is not allowed; None if it is."""
    refusal = None
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name.startswith("_"):
            refusal = f"{name!r} is not a field"
        case ast.Attribute() | ast.Name():
            pass
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            pass
        case ast.Call(func=ast.Name(id=name)):
            refusal = f"there is no function {name!r} here, only {', '.join(sorted(FUNCTIONS))}"
        case ast.Subscript(slice=ast.Constant(value=str())):
            pass
        case ast.Subscript():
            refusal = "an entry is taken by its name in quotes"
        case ast.comprehension(target=ast.Name(), is_async=0):
            pass
        case ast.Constant(value=value) if value is not None and not isinstance(
            value, bool | int | float | str
        ):
            refusal = "only numbers, text, true, false and null can be written"
        case ast.operator() | ast.cmpop() | ast.unaryop() if type(node) not in OPERATORS:
            refusal = f"the operator {type(node).__name__} is not available"
        case _ if not isinstance(node, _ALLOWED_NODES) or isinstance(node, ast.Call | ast.comprehension):
            refusal = f"{type(node).__name__} is not available"
    return refusal


class _ExactLiterals(ast.NodeTransformer):
    """Turns every number into the decimal that was written, and `true`, `false`, `null` into their values."""

    def __init__(self, source: str) -> None:
        self._source = source

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return node
        # Read again from the text: the parser's float has lost what was written.
        written = ast.get_source_segment(self._source, node) or ""
        if _NUMBER.fullmatch(written) is None:
            raise ExpressionError(f"{written[:40]} is not a number as it is written here, such as 12.50")
        return ast.copy_location(ast.Constant(cast("Any", Decimal(written))), node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in _WORDS and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Constant(_WORDS[node.id]), node)
        return node
