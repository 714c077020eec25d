"""This machine as a device: for a build machine that is itself the target, and for trying out."""

from __future__ import annotations

from typing import Literal

from edgekit.transports._here import Here


class Local(Here):
    transport: Literal["local"] = "local"

    @property
    def address(self) -> str:
        return "this machine"
