"""What the docstring below a key says of it, for the schema and for `edgekit stages`.

Read only where it is shown: pydantic's `use_attribute_docstrings` reads the source of every model
whenever it is imported, a quarter of a second for each command.
"""

from __future__ import annotations

import ast
import inspect
import sys
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue


def key_docs(model: type[BaseModel]) -> dict[str, str]:
    """The docstring of each key of a model, in one line; of those that have one."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _classes(base.__module__).get(base.__name__, {})
    return {key: found[key] for key in model.model_fields if key in found}


def member_docs(kind: type[StrEnum]) -> dict[str, str]:
    """The docstring of each member of an enumeration, by its value; of those that have one."""
    found = _classes(kind.__module__).get(kind.__name__, {})
    return {str(member): found[member.name] for member in kind if member.name in found}


@cache
def _classes(module: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _docs(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for statement, below in pairwise(body):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=key)) | ast.Assign(targets=[ast.Name(id=key)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[key] = " ".join(text.split())
    return found


class DescribedSchema(GenerateJsonSchema):
    """A JSON Schema with these docstrings as descriptions."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        for key, text in key_docs(schema["cls"]).items():
            if key in found.get("properties", {}):
                found["properties"][key].setdefault("description", text)
        return found
