"""What is known of the machine that something ran on, as reports keep it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel


class _Facts(BaseModel):
    """Those that are read again; others stand beside them."""

    cpu: str | None = None
    int8_instructions: list[str] = []
    cores: int | None = None
    system: str = ""
    python: str = ""
    load_average: list[float] = []
    devices: dict[str, dict[str, str | None]] = {}


def _checked(environment: dict[str, Any]) -> dict[str, Any]:
    _Facts.model_validate(environment)
    return environment


Environment = Annotated[dict[str, Any], AfterValidator(_checked)]
