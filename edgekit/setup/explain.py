"""What a word of terminals, reports and recipes means: a stage, a gate, a target, a verdict, ..."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.engine.step import StepState
from edgekit.errors import InputError
from edgekit.evaluation.gates import Gates, GateVerdict
from edgekit.evidence import Evidence, InvalidityCause, Status, Validity, Verdict
from edgekit.report.terms import SEARCH_TERMS, TERMS
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.docstrings import key_docs, member_docs
from edgekit.spec.stage_keys import stage_keys
from edgekit.spec.target import known_targets, load_target
from edgekit.spec.yamlfile import suggestion

Kind = Literal[
    "stage", "step", "gate", "target", "variant", "precision", "verdict", "status", "evidence",
    "reason", "term",
]  # fmt: skip
WORDS: tuple[tuple[Kind, str, type[StrEnum]], ...] = (
    ("verdict", "Of a gate", GateVerdict),
    ("verdict", "Of a comparison", Verdict),
    ("status", "Of a target", Status),
    ("status", "Of a run on a device", Validity),
    ("evidence", "Seen", Evidence),
    ("reason", "Of a run that is doubted", InvalidityCause),
    ("step", "Of a step", StepState),
)
"""Each word has its docstring."""
PRECISIONS = {
    "float32": "Weights and arithmetic in 32-bit floats: nothing was compressed.",
    "float16": "Weights in 16-bit floats, half the size. The arithmetic is float: on a processor "
    "without half floats the file is no faster than float32, and may be slower.",
    "int8": "Weights and arithmetic in 8-bit integers, a quarter of the size. Calibration finds "
    "the range of each tensor. Faster where the processor has int8 dot products.",
    "int16x8": "Weights in 8-bit integers, what layers pass on in 16 bits; also called 16x8 or "
    "w8a16. It tells whether int8 fails by its activations or by its weights. CPUs have no fast "
    "kernels for it: LiteRT computes it in plain ones, ONNX Runtime in float between 16-bit codes.",
}
STEPS = {
    "splits": "Which images are trained on, calibrated on and judged by.",
    "images": "Decodes the images of a split.",
    "source": "The model as the recipe names it, before any stage.",
    "check-source": "Whether a model from elsewhere is what the recipe says of it.",
    "reference": "Scores of the float model, which everything later is held against.",
    "compile": "Converts the float model to the runtime's file.",
    "validate": "Measures the file of a stage: accuracy, agreement, size and latency.",
    "check": "Reads the exported file back, and holds its input and labels against the recipe.",
    "on": "Measures the file of a stage on your device.",
    "precompile": "Compiles the file for the target's own device, where this machine has it.",
    "choose": "Times what passed in one interleaved run, and takes the fastest.",
}
"""Of a plan, besides the stages; `compile-finetune` is the `compile` of what finetune made."""
IOS = {
    "uint8": "takes raw pixels",
    "float": "takes normalised floats, so that the app normalises",
    "integer": "takes raw pixels and has integers throughout, without a float operator at its ends",
}


class Explanation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    word: str
    kind: Kind
    text: str
    more: str = ""
    """The command that tells more."""


def explain(word: str) -> list[Explanation]:
    """What a word means, in each of its senses: `prune` and `max_size_mb` have one.

    Each text has one source: a stage's and a gate's own docstring, a target's file, the glossary
    that the pages of reports show.

    Raises:
        InputError: no such word, with the nearest.
    """
    wanted, known = word.strip().lower(), _all()
    found = [one for one in known if wanted in (one.word.lower(), one.word.lower().split(" (")[0])]
    if not found:
        found = [one for one in known if one.word == _kind_of_step(wanted)]
    if not found:
        names = sorted({one.word.lower(): one.word for one in known}.values())
        raise InputError(f"no word {word!r}; {suggestion(word, names)}")
    return found


def _kind_of_step(name: str) -> str:
    """
    >>> _kind_of_step("rpi/litert/validate-export"), _kind_of_step("images/train")
    ('validate', 'images')
    """
    first, last = name.split("/")[0], name.split("/")[-1]
    parts = (first, last, last.split("-")[0])
    return next((part for part in parts if part in STEPS or part in stage_keys()), "")


def _all() -> list[Explanation]:
    stages = [
        Explanation(word=name, kind="stage", text=keys.summary, more=f"edgekit stages {name}")
        for name, keys in stage_keys().items()
    ]
    gates = [
        Explanation(word=name, kind="gate", text=text) for name, text in key_docs(Gates).items()
    ]
    targets, variants = [], {name: Variant(runtime=name) for name in find_runtimes()}
    for name in known_targets():
        target = load_target(name)
        text = f"{target.description}. Builds {', '.join(v.name for v in target.variants)}."
        targets.append(Explanation(word=name, kind="target", text=text, more="edgekit targets"))
        variants |= {variant.name: variant for variant in target.variants}
    terms = [
        Explanation(word=name, kind="term", text=term.meaning)
        for key, term in {**TERMS, **SEARCH_TERMS}.items()
        for name in {word.lower(): word for word in (key, term.name)}.values()
    ]
    return [*stages, *gates, *targets, *_words(variants), *terms]


def _words(variants: dict[str, Variant]) -> Iterator[Explanation]:
    for name, variant in variants.items():
        yield Explanation(word=name, kind="variant", text=_of_variant(variant))
    for kind, of, words in WORDS:
        for word, text in member_docs(words).items():
            yield Explanation(word=word, kind=kind, text=f"{of}: {text[0].lower()}{text[1:]}")
    for word, text in PRECISIONS.items():
        yield Explanation(word=word, kind="precision", text=text)
    for word, text in STEPS.items():
        yield Explanation(word=word, kind="step", text=text)


def _of_variant(variant: Variant) -> str:
    told = [f"A file for {variant.runtime}, which {IOS[variant.io]}"]
    if variant.precision:
        told.append(f"in {variant.precision}, whatever the recipe's quantize stage says")
    if variant.quantizer:
        told.append(f"quantised by {variant.quantizer}")
    if variant.via:
        told.append(f"made of the int8 file of {variant.via}")
    return "; ".join(told) + "."
