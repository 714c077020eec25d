"""Every key that a person can write is described where its editor shows it."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.spec.docstrings import DescribedSchema, key_docs
from edgekit.spec.recipe import recipe_schema
from edgekit.spec.target import Target
from edgekit.stages.qat import Qat

SCHEMAS = {
    "recipe": recipe_schema(),
    "target": Target.model_json_schema(schema_generator=DescribedSchema),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_key_has_a_description(schema: dict[str, Any]) -> None:
    models = {"": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, field in model.get("properties", {}).items()
        if not field.get("description")
    ]
    assert bare == []


def test_a_key_has_the_docstring_of_the_nearest_class() -> None:
    docs = key_docs(Qat)
    assert docs["learning_rate"].startswith("The highest, after the warm-up: lower than finetune's")
    assert docs["epochs"] == "Times that every training image is seen."
    assert "trains" not in docs
