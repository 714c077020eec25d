"""What travels with a float model from step to step."""

from __future__ import annotations

from edgekit.engine.artifact import Json, Metadata
from edgekit.models.card import Card
from edgekit.models.pruned import Pruned
from edgekit.models.training_curve import TrainingCurve


class FloatMetadata(Metadata):
    """Of a model in the framework it is trained in."""

    card: Card
    file: str | None = None
    """Of a model that is not torch's, the file or the folder that holds it."""
    training: Json | None = None
    """What the stage that trained it wrote down, for a person to read."""
    curve: TrainingCurve | None = None
    """Loss and accuracy of each epoch."""
    qat: Json | None = None
    """What training for int8 brought, in simulation."""
    pruning: Pruned | None = None
    """What the stage cut of it."""
    remark: str | None = None
    """What the stage has to say of its result, such as that it brought nothing."""
    ranges: dict[str, tuple[float, float]] | None = None
    """Of a network trained for int8, the real values that each tensor's codes span, by the name of
    the module or of the input."""
