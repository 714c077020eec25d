"""Words for values that are of another kind than the key wants, with what to write."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edgekit.spec.wrong_value import wrong_value

Triple = tuple[float, float, float]


class Section(BaseModel):
    model_config = ConfigDict(strict=True)
    key: int


def words(kind: Any, text: str) -> str:
    """What is said of a value that stands so in a file."""
    value = yaml.safe_load(text)
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value, strict=not isinstance(value, list))
    items = [dict(item) for item in caught.value.errors()]
    return wrong_value(items, None if isinstance(value, str) else text)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (float, "5e-1", "a number expected, not '5e-1', which YAML reads as text: write 0.5"),
        (float, "1E-7", "a number expected, not '1E-7', which YAML reads as text: write 1.0e-07"),
        (int, '"2"', "a whole number expected, not '2', which YAML reads as text: write 2"),
        (int, "0o10", "a whole number expected, not '0o10', which YAML reads as text: write 8"),
        (int, "2.0", "a whole number expected, not 2.0: write 2"),
        (int, "[2]", "a whole number expected, not a list: write 2"),
        (int, "[2, 3]", "a whole number expected, not a list"),
        (int, "{a: 1}", "a whole number expected, not keys below it"),
        (int, "null", "a whole number expected, and nothing stands here"),
        (int, "on", "a whole number expected, and YAML reads on as true"),
        (bool, '"true"', "true or false expected, not 'true': write true without quotes"),
        (str, "no", "text expected, and YAML reads no as true or false: write 'no' in quotes"),
        (str, "2024-01-01", "text expected, and YAML reads 2024-01-01 as a date: write "
                            "'2024-01-01' in quotes"),
        (list[str], "one", "a list expected, not 'one': write [one]"),
        (list[str], "{a: b}", "a list expected, not keys below it: write `- ` before each"),
        (float | Triple, "[1, 2]", "a number or a list of 3 expected, not 2"),
        (Literal["fast", "exact"], "fats", "'fast' or 'exact' expected, not 'fats'"),
        (Annotated[int, Field(ge=1)], "0", "at least 1 expected, not 0"),
        (Annotated[float, Field(lt=1)], "1.5", "less than 1.0 expected, not 1.5"),
        (Annotated[str, Field(pattern="^/")], "x", "an absolute path expected, not 'x'"),
        (Section, "word", "keys below it expected, not 'word'"),
    ],
)  # fmt: skip
def test_words(kind: Any, text: str, said: str) -> None:
    assert words(kind, text) == said


def test_what_is_advised_is_read_as_the_number() -> None:
    for text in ("5e-1", "1e-3", "3E5", "1e-07", "1e30"):
        advised = words(float, text).rpartition("write ")[2]
        assert yaml.safe_load(advised) == float(text)
