"""What a cut leaves for a build that goes on after a kill.

A cut rests on timings, which never come out the same twice: it is not made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgekit.engine.atomic import write_atomically
from edgekit.models import timm_models
from edgekit.models.card import WEIGHTS_FILE, Card
from edgekit.models.pruned import PruningGain
from edgekit.pruning.cutting import Cut

CUT_FILE = "cut.json"
"""Written last: a folder without it is half a cut."""


class KeptCut(BaseModel):
    model_config = ConfigDict(extra="forbid")

    card: Card
    trial: PruningGain | None


def keep(made: Cut, trial: PruningGain | None, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    timm_models.save(made.model, made.card, folder)
    kept = KeptCut(card=made.card, trial=trial)
    write_atomically(folder / CUT_FILE, kept.model_dump_json())


def restore(folder: Path) -> tuple[Any, Card, PruningGain | None] | None:
    """The network, its card and what the runtime showed of it; none where no cut was finished."""
    if not (folder / CUT_FILE).is_file():
        return None
    kept = KeptCut.model_validate_json((folder / CUT_FILE).read_text(encoding="utf-8"))
    return timm_models.rebuild(kept.card, folder / WEIGHTS_FILE), kept.card, kept.trial
