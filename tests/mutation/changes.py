"""The changes of a module: mutmut's own, by its own names, made in the running program.

mutmut writes modules in which each function exists as often as it has mutants, and asks at each call
which one is meant: tests become several times slower by that.  Here a mutant is compiled and its code
put in the place of the function's, in a process that ends afterwards.
"""

from __future__ import annotations

import ast
import gc
import importlib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import libcst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import create_mutations
from mutmut.mutation.trampoline_templates import mangle_function_name

__all__ = ["Mutant", "mutants_of"]

_FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef


class Mutant(NamedTuple):
    """One change, and where it is."""

    name: str
    path: str
    lines: tuple[int, int]
    """Of what is changed."""
    function: str
    """Its qualified name."""
    function_lines: tuple[int, int]
    column: int
    before: str
    after: str
    is_text: bool
    """What is changed is prose."""
    module: Any
    outer: Any
    original: Any
    changed: Any

    def put_in_place(self) -> None:
        """For good: the process is to end with it."""
        source = self.source()
        code = _code_of(compile(source, str(Path(self.path).absolute()), "exec"), self.function)
        target = _function_of(code.co_filename, self.function)
        defaults = _defaults_of(ast.parse(source), self.function)
        target.__code__ = code
        if target.__defaults__:
            target.__defaults__ = tuple(_value(target, each) for each in defaults.defaults)
        if target.__kwdefaults__:
            pairs = zip(defaults.kwonlyargs, defaults.kw_defaults, strict=True)
            target.__kwdefaults__ = {a.arg: _value(target, v) for a, v in pairs if v is not None}

    def source(self) -> str:
        """Of the whole module, with this change."""
        lines = Path(self.path).read_text().splitlines(keepends=True)
        function = self.module.code_for_node(self.outer.deep_replace(self.original, self.changed))
        first, last = self.function_lines
        changed = textwrap.indent(function, " " * self.column)
        return "".join([*lines[: first - 1], changed, *lines[last:]])


def _value(target: FunctionType, expression: ast.expr) -> object:
    code = compile(ast.Expression(expression), "default", "eval")
    return eval(code, target.__globals__)


def _defaults_of(tree: ast.Module, function: str) -> ast.arguments:
    body: list[ast.stmt] = tree.body
    for name in function.split("."):
        nodes = (n for n in body if isinstance(n, (ast.ClassDef, *_FUNCTIONS)))
        node = next(n for n in nodes if n.name == name)
        body = node.body
    assert isinstance(node, _FUNCTIONS)
    return node.args


def _code_of(code: CodeType, function: str) -> CodeType:
    for name in function.split("."):
        inner = (each for each in code.co_consts if isinstance(each, CodeType))
        code = next(each for each in inner if each.co_name == name)
    return code


def _function_of(file: str, function: str) -> FunctionType:
    for each in gc.get_objects():
        if (
            isinstance(each, FunctionType)
            and each.__code__.co_filename == file
            and each.__code__.co_qualname == function
        ):
            return each
    raise LookupError(f"{function} is not in {file}")


def mutants_of(path: str) -> Iterator[Mutant]:
    """Those that mutmut makes of the functions of a file, numbered as it does."""
    importlib.import_module(path.removesuffix(".py").replace("/", "."))
    module, changes, _classes, _functions = create_mutations(path, Path(path).read_text())
    places = MetadataWrapper(module, unsafe_skip_copy=True).resolve(PositionProvider)
    classes = {
        method: statement.name.value
        for statement in module.body
        if isinstance(statement, libcst.ClassDef)
        for method in statement.body.body
    }
    counts: dict[str, int] = {}
    for change in changes:
        outer = change.contained_by_top_level_function
        if not isinstance(outer, libcst.FunctionDef):
            continue
        owner = classes.get(outer)
        mangled = mangle_function_name(name=outer.name.value, class_name=owner)
        counts[mangled] = counts.get(mangled, 0) + 1
        place, whole = places[change.original_node], places[outer]
        yield Mutant(
            f"{path.removesuffix('.py').replace('/', '.')}.{mangled}__mutmut_{counts[mangled]}",
            path,
            (place.start.line, place.end.line),
            f"{owner}.{outer.name.value}" if owner else outer.name.value,
            (whole.start.line, whole.end.line),
            whole.start.column,
            _text(module, change.original_node),
            _text(module, change.mutated_node),
            isinstance(change.original_node, libcst.SimpleString)
            and " " in change.original_node.value,
            module,
            outer,
            change.original_node,
            change.mutated_node,
        )


def _text(module: Any, node: Any) -> str:
    return " ".join(str(module.code_for_node(node)).split())
