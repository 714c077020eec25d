"""JSON that edgekit or its agent wrote, read back through one pydantic model.

It may come on a stick, from another version or from a faulty disk: what does not fit is told in one
line, which names the field, what stands there and what was expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails, from_json

from edgekit.errors import InputError

SHOWN = 60
"""Characters of a name or a value that a message shows."""
Record = TypeVar("Record", bound=BaseModel)


def _plain(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise ValueError("a plain name expected, of something in this very folder")
    return name


PlainName = Annotated[str, AfterValidator(_plain)]
"""Of a file or a folder: it leads nowhere else."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-z]{1,64}$")]
"""Of an artifact: it is a folder of the store."""


class BadRecord(ValueError):
    """A record that does not fit its model; `str()` is one line.

    Args:
        not_finite: it holds NaN or infinity where a number was expected.
    """

    def __init__(self, line: str, *, not_finite: bool = False) -> None:
        super().__init__(line)
        self.not_finite = not_finite


def parse_record(model: type[Record], content: str | bytes | dict[str, Any]) -> Record:
    """
    Args:
        content: JSON, or what was read from it.

    Raises:
        BadRecord: it does not fit.
    """
    try:
        if isinstance(content, dict):
            return model.model_validate(content)
        return model.model_validate_json(content)
    except ValidationError as error:
        raise problem_of(error) from error


def parse_json(content: str | bytes) -> Any:
    """Plain data; unlike `json.loads` it refuses what is nested too deeply.

    Raises:
        BadRecord: it is no JSON.
    """
    try:
        return from_json(content)
    except ValueError as error:
        raise BadRecord(f"no JSON: {error}") from error


def read_record(model: type[Record], path: Path, what: str, hint: str) -> Record:
    """
    Args:
        what: the file is said to be no such thing.

    Raises:
        InputError: it cannot be read, or does not fit.
    """
    try:
        return parse_record(model, path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except BadRecord as error:
        raise InputError(f"{path} is no {what}: {error}", hint=hint) from error


def shown(value: Any, limit: int = SHOWN) -> str:
    """A value from a file in a few characters, none of which steers a terminal."""
    text = value if isinstance(value, str) else repr(value)
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return plain if len(plain) <= limit else f"{plain[:limit]}..."


def problem_of(error: ValidationError) -> BadRecord:
    """The first of the problems that pydantic found."""
    first = error.errors(include_url=False)[0]
    return BadRecord(_line(first), not_finite=first["type"] == "finite_number")


def _line(problem: ErrorDetails) -> str:
    if problem["type"] == "json_invalid":
        return f"no JSON: {shown(problem['ctx']['error'])}"
    where = ".".join(shown(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        message = "this field is missing"
    elif not isinstance(problem["input"], dict | list | tuple | BaseModel):
        message += f", not {shown(repr(problem['input']))}"
    return f"{where}: {message}" if where else message
