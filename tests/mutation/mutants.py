"""Makes small faults in a module, one at a time, which the tests should notice.

A mutant is the text of the module with one thing changed: a comparison flipped or its border moved,
a number one more, a text or a constant swapped for another of the module, a condition negated, a
call dropped. Nothing is changed in annotations, docstrings, and texts for people (those with a
space), nor what a dataclass or a type variable is made with.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_EXTREMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_CONTEXT: Final = 30
"""Characters to show before what is changed."""
Change = Callable[[], Callable[[], None]]
"""Changes the tree; what it returns takes that back."""


@dataclass(frozen=True)
class Mutant:
    """A module with one fault."""

    line: int
    before: str
    after: str
    text: str

    @property
    def what(self) -> str:
        """The fault, as people read it."""
        pairs = enumerate(zip(self.before, self.after, strict=False))
        first = next((place for place, (old, new) in pairs if old != new), 0)
        start = max(0, first - _CONTEXT)
        return f"{_piece(self.before, start)}  ->  {_piece(self.after, start)}"


def mutants(text: str) -> list[Mutant]:
    """Gives all mutants of a module, in the order of its lines."""
    return sorted(_each(text), key=lambda mutant: mutant.line)


def _each(text: str) -> Iterator[Mutant]:
    tree = ast.parse(text)
    spared = set(map(id, _spared(tree)))
    constants = _constants(tree, spared)
    statements = _statements(tree)
    for node in ast.walk(tree):
        if id(node) in spared:
            continue
        for change in _changes(node, constants):
            statement = statements.get(id(node), node)
            before = ast.unparse(statement)
            undo = change()
            try:
                after, whole = ast.unparse(statement), ast.unparse(tree)
            finally:
                undo()
            if after != before:
                line = getattr(node, "lineno", 0)
                yield Mutant(line, *_difference(before, after), whole)


def _statements(tree: ast.Module) -> dict[int, ast.AST]:
    """Gives the statement that each node is a part of, by the node's identity."""
    found: dict[int, ast.AST] = {}
    for node in ast.walk(tree):  # Outer ones first: inner ones overwrite them.
        if isinstance(node, ast.stmt):
            found |= {id(inner): node for inner in ast.walk(node)}
    return found


def _spared(tree: ast.Module) -> Iterator[ast.AST]:
    """Gives the nodes that stay as they are."""
    for node in ast.walk(tree):
        for part in _spared_of(node):
            if part is not None:
                yield from ast.walk(part)


def _spared_of(node: ast.AST) -> list[ast.AST | None]:
    found: list[ast.AST | None] = []
    match node:
        case ast.AnnAssign() | ast.arg():
            found = [node.annotation]
        case ast.FunctionDef():
            found = [node.returns, *node.decorator_list]
        case ast.ClassDef():
            found = [*node.decorator_list, *node.bases]
        case ast.Raise() | ast.JoinedStr() | ast.Expr(ast.Constant()):
            found = [node]
        case ast.If(ast.Name("TYPE_CHECKING")) | ast.Call(ast.Name("TypeVar")):
            found = [node]
        case ast.Assign([ast.Name(name)], ast.BinOp() | ast.Subscript()) if _is_of_type(name):
            found = [node]
        case ast.Assign([ast.Name(name)]) if name.startswith("__"):
            found = [node]
    return found


def _is_of_type(name: str) -> bool:
    return name[0].isupper() and not name.isupper()


def _constants(tree: ast.Module, spared: set[int]) -> dict[type, list[Any]]:
    """Gives the texts and bytes of the module that are for machines, each once."""
    found: dict[type, list[Any]] = {str: [], bytes: []}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in spared:
            kind = found.get(type(node.value))
            if kind is not None and node.value not in kind:
                kind.append(node.value)
    return {kind: [v for v in values if not _is_for_people(v)] for kind, values in found.items()}


def _is_for_people(value: Any) -> bool:
    return isinstance(value, str) and " " in value.strip()


# --- the changes ---------------------------------------------------------------------------------


def _changes(node: ast.AST, constants: dict[type, list[Any]]) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            yield _in_list(node.ops, place, _COMPARISONS[type(operator)]())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        if not _is_formatting(node):
            yield _set(node, "op", _OPERATORS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _set(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node, constants)
    elif isinstance(node, ast.Name) and node.id in _EXTREMES:
        yield _set(node, "id", _EXTREMES[node.id])
    yield from _of_conditions(node)
    for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
        if isinstance(body, list):
            yield from _of_statements(body)


def _of_constant(node: ast.Constant, constants: dict[type, list[Any]]) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield _set(node, "value", not value)
    elif isinstance(value, int | float):
        yield _set(node, "value", value + 1)
    elif isinstance(value, str | bytes) and not _is_for_people(value):
        others = constants[type(value)]
        if len(others) > 1 and value in others:
            yield _set(node, "value", others[(others.index(value) + 1) % len(others)])


def _of_conditions(node: ast.AST) -> Iterator[Change]:
    """Negates; a lone comparison is flipped already."""
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Compare):
        yield _set(node, "test", _negated(node.test))
    elif isinstance(node, ast.comprehension):
        for place, test in enumerate(node.ifs):
            if not isinstance(test, ast.Compare):
                yield _in_list(node.ifs, place, _negated(test))
    match node:
        case ast.Return(ast.UnaryOp(ast.Not(), operand)):
            yield _set(node, "value", operand)


def _is_formatting(node: ast.BinOp | ast.AugAssign) -> bool:
    """Tells `text % values` from arithmetic: a text taken a billion times fills the memory."""
    match node:
        case ast.BinOp(ast.Constant(str() | bytes()), ast.Mod()):
            return True
    return False


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(ast.Not(), test)


def _of_statements(body: list[ast.stmt]) -> Iterator[Change]:
    for place, statement in enumerate(body):
        if isinstance(statement, ast.Expr) and isinstance(
            statement.value, ast.Call | ast.Await | ast.YieldFrom
        ):
            yield _in_list(body, place, _at(ast.Pass(), statement))
        elif isinstance(statement, ast.Continue | ast.Break):
            other = ast.Break if isinstance(statement, ast.Continue) else ast.Continue
            yield _in_list(body, place, _at(other(), statement))
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
            yield _in_list(body, place, _at(ast.Pass(), statement))


def _at(new: ast.stmt, old: ast.stmt) -> ast.stmt:
    return ast.copy_location(new, old)


def _set(node: ast.AST, name: str, new: Any) -> Change:
    def change() -> Callable[[], None]:
        old = getattr(node, name)
        setattr(node, name, new)
        return lambda: setattr(node, name, old)

    return change


def _in_list(parts: list[Any], place: int, new: Any) -> Change:
    def change() -> Callable[[], None]:
        old = parts[place]
        parts[place] = new

        def undo() -> None:
            parts[place] = old

        return undo

    return change


# --- how it is told ------------------------------------------------------------------------------


def _difference(before: str, after: str) -> tuple[str, str]:
    """Gives the first line in which two texts differ, of each."""
    pairs = zip(before.split("\n"), after.split("\n"), strict=False)
    first = next(((b, a) for b, a in pairs if b != a), (before, after))
    return first[0].strip(), first[1].strip()


def _piece(text: str, start: int) -> str:
    piece = text[start : start + 3 * _CONTEXT]
    return "…" * (start > 0) + piece + "…" * (start + len(piece) < len(text))
