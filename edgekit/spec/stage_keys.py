"""What a recipe can hold, stage by stage: each key with its type, default and docstring."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import BaseModel

from edgekit.models.source import ModelSource
from edgekit.spec.docstrings import DescribedSchema
from edgekit.stages import find_stages

SIGNS = {
    "minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<",
}  # fmt: skip
MODEL = f"/{ModelSource.__name__}"
TYPES = {"boolean": "true or false", "string": "text"}


class Key(BaseModel):
    """One key of a stage, or of a mapping in it."""

    type: str
    required: bool
    default: Any
    description: str
    keys: dict[str, Key] | None = None
    """Of a mapping; not of a teacher, whose keys are those of a recipe's model."""


class StageKeys(BaseModel):
    summary: str
    keys: dict[str, Key]


def stage_keys() -> dict[str, StageKeys]:
    """Of every stage, by its name."""
    found = {}
    for name, stage in find_stages().items():
        keys = keys_of(stage)
        del keys["stage"]
        text = sys.modules[stage.__module__].__doc__ or ""
        summary = " ".join(text.partition("\n\n")[0].removeprefix(f"{name}: ").split())
        found[name] = StageKeys(summary=summary, keys=keys)
    return found


def keys_of(model: type[BaseModel]) -> dict[str, Key]:
    """Of anything that a person writes: a recipe, a target, or a part of one."""
    schema = model.model_json_schema(schema_generator=DescribedSchema)
    return _keys(schema, schema.get("$defs", {}))


def _keys(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Key]:
    return {
        name: Key(
            type=type_of(field),
            required=name in schema.get("required", []),
            default=field.get("default"),
            description=field.get("description", ""),
            keys=_inner(field, definitions),
        )
        for name, field in schema["properties"].items()
    }


def _inner(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Key] | None:
    for form in (field, *field.get("anyOf", [])):
        if "$ref" in form and not form["$ref"].endswith(MODEL):
            return _keys(definitions[form["$ref"].rpartition("/")[2]], definitions)
    return None


def type_of(field: dict[str, Any]) -> str:
    """The type of a JSON Schema in words.

    >>> type_of({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
    'number > 0, <= 1'
    >>> type_of({"anyOf": [{"enum": ["ptq", "auto"], "type": "string"}, {"type": "null"}]})
    'ptq | auto'
    """
    if "anyOf" in field or "oneOf" in field:
        forms = [type_of(form) for form in field.get("anyOf", field.get("oneOf", []))]
        return " | ".join(dict.fromkeys(form for form in forms if form != "null"))
    if "enum" in field or "const" in field:
        return " | ".join(map(str, field.get("enum", [field.get("const")])))
    if "$ref" in field:
        return "as a recipe's model" if field["$ref"].endswith(MODEL) else "mapping"
    return _kind_of(field)


def _kind_of(field: dict[str, Any]) -> str:
    kind = str(field.get("type", "any"))
    if kind == "array":
        inner = field.get("items") or field.get("prefixItems", [{}])[0]
        return f"list of {type_of(inner)}"
    if kind == "object":
        return f"mapping to {type_of(field.get('additionalProperties') or {})}"
    limits = ", ".join(f"{sign} {field[key]:,}" for key, sign in SIGNS.items() if key in field)
    return f"{TYPES.get(kind, kind)} {limits}".strip()
