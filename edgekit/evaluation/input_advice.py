"""What a recipe should say of a model's input, in lines to paste."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edgekit.data.framing import Fit, Interpolation, Orientation, Way
from edgekit.data.labels import yaml_list
from edgekit.errors import InputError
from edgekit.evaluation.input_claims import Claim, Evaluated
from edgekit.models.card import Card
from edgekit.models.source import RANGES, Channels, ModelSource
from edgekit.printable import one_line


class BetterInput(BaseModel):
    """An input under which a model does better than under the declared one, for sure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    range: str
    """A key of RANGES, or `mean and std` for what the recipe gives in numbers."""
    channels: Channels
    fit: Fit
    orientation: Orientation
    interpolation: Interpolation
    order: tuple[int, ...] | None
    """The class that each of the model's outputs stands for, where that is another order."""
    right: float
    """Share of the images that are right with it."""
    differences: tuple[str, ...]
    message: str
    lines: tuple[str, ...]
    """What to write into the recipe."""

    def error(self) -> InputError:
        # Line by line: a model from elsewhere had a part in the words.
        return InputError(one_line(self.message), hint="\n".join(map(one_line, self.lines)))


def figures(right: float, loss: float) -> str:
    """
    >>> figures(0.975, 0.1234)
    '97.5 %, log-loss 0.123'
    """
    return f"{100 * right:.1f} %, log-loss {loss:.3f}"


@dataclass(frozen=True)
class Advice:
    source: ModelSource
    card: Card
    declared: Claim

    def better(
        self,
        now: Evaluated,
        then: Evaluated,
        order: list[int],
        halves: list[Evaluated],
        alike: list[Evaluated],
    ) -> BetterInput:
        """
        Args:
            order: the class that each of the model's outputs stands for under the best claim.
            halves: the best claim's range alone and its framing alone, where it changes both.
            alike: other inputs that the images do not tell from the best.
        """
        best = then.claim
        model = self._model_lines(best, order)
        differences = [*model, *changed(best.way, self.declared.way)]
        alone = [f"with {input_words(h.claim, self.declared)} alone {_judged(h)}" for h in halves]
        untold = [f"{input_words(one.claim, best)} ({_judged(one)})" for one in alike]
        told = (
            f"model.weights: {Path(self.source.weights).name} is not what the recipe says of it: "
            f"declared ({self._declared_text()}) it classifies {100 * now.right.mean():.1f} % of "
            f"{len(now.right)} training images rightly, with a log-loss of "
            f"{now.losses.mean():.3f}; with {' and '.join(differences)} "
            f"{100 * then.right.mean():.1f} %, with a log-loss of {then.losses.mean():.3f}"
            + (f"; it takes both: {', '.join(alone)}" if alone else "")
            + (f"; the images do not tell {', '.join(untold)} from it" if untold else "")
        )
        return BetterInput(
            range=best.range,
            channels=best.channels,
            **best.way._asdict(),
            order=tuple(order) if best.reordered else None,
            right=float(then.right.mean()),
            differences=tuple(differences),
            message=told,
            lines=tuple(self._text(best, [*model.values()]).split("\n")),
        )

    def lines(self, claim: Claim) -> str:
        """What to write for a claim that leaves the classes in their order."""
        return self._text(claim, [*self._model_lines(claim, None).values()])

    def _model_lines(self, best: Claim, order: list[int] | None) -> dict[str, str]:
        """Lines of the recipe's model section, by each difference in words."""
        lines = {}
        if best.range != self.declared.range:
            lines[f"input range {best.range}"] = f"input_range: {best.range}"
        if best.channels != self.declared.channels:
            lines[f"channels {best.channels}"] = f"channels: {best.channels}"
        if best.reordered and order:
            names = yaml_list([self.card.classes[i] for i in order])
            lines["the classes in another order"] = f"classes: {names}"
        return lines

    def _text(self, best: Claim, model: list[str]) -> str:
        if best.channels != self.declared.channels and self.card.format == "torch":
            return "timm models take RGB: reverse the input channels of the first layer's weights"
        in_numbers = self.source.input_range is None and best.range != self.declared.range
        crops = self.card.crop_pct < 1 and best.way.fit != self.card.fit
        data = _lines(best.way, self.declared.way)
        parts = [
            _section("data", data, ", without crop_pct," if crops else ""),
            _section("model", model, ", without mean and std," if in_numbers else ""),
        ]
        return "\n".join(filter(None, parts))

    def _declared_text(self) -> str:
        names, declared = self.card.classes, self.declared
        numbers = f"mean {list(self.card.mean)}, std {list(self.card.std)}"
        span = declared.range if declared.range in RANGES else numbers
        ways = ", ".join(f"{key} {value}" for key, value in declared.way._asdict().items())
        classes = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"input range {span}, channels {declared.channels}, {ways}, classes {classes}"


def input_words(claim: Claim, than: Claim) -> str:
    """What differs.

    >>> input_words(Claim("0..1", "bgr", Way("pad")), Claim("-1..1", "rgb", Way("pad")))
    '0..1 in bgr'
    >>> input_words(Claim("0..1", "rgb", Way("pad", "as_stored")), Claim("0..1", "rgb"))
    'fit pad, orientation as_stored'
    """
    order = f" in {claim.channels}" if claim.channels != than.channels else ""
    ways = changed(claim.way, than.way)
    if ways and claim.range == than.range and not order:
        return ", ".join(ways)
    return ", ".join([claim.range + order, *ways])


def changed(way: Way, than: Way) -> list[str]:
    """
    >>> changed(Way("squash", "upright", "nearest"), Way())
    ['fit squash', 'interpolation nearest']
    """
    return [
        f"{key} {own}"
        for key, own, other in zip(Way._fields, way, than, strict=True)
        if own != other
    ]


def _judged(one: Evaluated) -> str:
    return figures(float(one.right.mean()), float(one.losses.mean()))


def _lines(way: Way, declared: Way) -> list[str]:
    return [words.replace(" ", ": ", 1) for words in changed(way, declared)]


def _section(name: str, lines: list[str], instead: str) -> str:
    """
    >>> _section("data", ["fit: squash"], "")
    "in the recipe's data section write fit: squash"
    """
    told = (" " if len(lines) == 1 else "\n  ") + "\n  ".join(lines)
    return f"in the recipe's {name} section{instead} write{told}" if lines else ""
