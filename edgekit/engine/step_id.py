"""The name of a step, with the target and the variant that it works for as fields."""

from __future__ import annotations

from typing import Self


class StepId(str):
    """Names a step of a plan. What all targets share has neither target nor variant.

    It is its own printed form, so that plan.json, report.json and `--force` hold it as text; the
    fields are never read back out of that text.

    >>> quantize = StepId("quantize", target="rpi", variant="litert")
    >>> print(quantize, quantize.target, quantize.name)
    rpi/litert/quantize rpi quantize
    >>> quantize.sibling("check")
    'rpi/litert/check'
    >>> StepId("choose", target="rpi"), StepId("validation", variant="images")
    ('rpi/choose', 'images/validation')
    """

    __slots__ = ("name", "target", "variant")

    name: str
    """What the step does, e.g. `quantize`; of images, their split."""
    target: str
    variant: str
    """A variant, or a runtime for what its variants share; `images` for what decodes them."""

    def __new__(cls, name: str, *, target: str = "", variant: str = "") -> Self:
        self = super().__new__(cls, "/".join(filter(None, (target, variant, name))))
        self.name, self.target, self.variant = name, target, variant
        return self

    def sibling(self, name: str) -> StepId:
        """Another step for the same target and variant."""
        return StepId(name, target=self.target, variant=self.variant)
