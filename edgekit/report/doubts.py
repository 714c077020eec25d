"""What a reader might take for measured, or for sure, and is not: each with its reason."""

from __future__ import annotations

from edgekit.data.problem import ProblemKind
from edgekit.data.splits import SplitsMetadata
from edgekit.evaluation.source_check import SourceCheckMetadata
from edgekit.pipeline.draft import CHECK_SOURCE, SPLITS
from edgekit.pipeline.run import Build, TargetResult
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.spec.target import Target
from edgekit.stages.quantize import MIN_HELD_BACK

MANY_OBLONG = 0.25
"""Of the images."""
BUSY = (
    "The latency of {rows}, though it was tried three times: other jobs were at work, and the "
    "slowest tenth of the runs took more than twice the median. The ratios say nothing of the "
    "model. When the machine is quiet, build again with {force}."
)
SATURATES = (
    "That {variants} is as accurate on an x86 processor without VNNI: sums of 8-bit weights may "
    "saturate there, and scores here are those of exact sums."
)


def _oblong(build: Build) -> list[str]:
    """Of pictures far from the model's shape a centre crop leaves out what may be the object."""
    kinds = {problem.kind: problem for problem in build.plan.review.problems}
    oblong = kinds.get(ProblemKind.OBLONG)
    splits = build.artifacts[SPLITS].described_by(SplitsMetadata)
    total = sum(sum(counts.values()) for counts in splits.counts.values())
    if not oblong or oblong.count < MANY_OBLONG * total:
        return []
    check = build.artifacts.get(CHECK_SOURCE)
    shares = check.described_by(SourceCheckMetadata).fits if check else {}
    tried = ", ".join(f"{fit} {100 * share:.1f} %" for fit, share in shares.items())
    return [
        f"That a crop is right for these pictures: {oblong.words}. If the model was trained on "
        "whole ones, as with Keras or Resize((height, width)), write `fit: squash` or `fit: pad` "
        "in the recipe's data section."
        + (f" Training images classified rightly: {tried}." if tried else "")
    ]


def doubts(build: Build, target: TargetResult) -> list[str]:
    return [
        *_oblong(build),
        *_unjudged(build, target),
        *_not_measured(target),
    ]


def _unjudged(build: Build, target: TargetResult) -> list[str]:
    """That int8 was not searched for want of images."""
    for result in target.rows:
        used = build.artifacts[result.row.model].described_by(CompiledMetadata).quantization
        if used and used.unjudged:
            return [
                "That another way to int8 would not be better: too few training images are left "
                f"to judge others beside the {used.images} it was calibrated on (at least "
                f"{MIN_HELD_BACK} are needed). The first way was taken; more images would tell."
            ]
    return []


def _not_measured(target: TargetResult) -> list[str]:
    """What a reader might take for measured on the target, and why it was not."""
    if target.was_timed:
        return _disturbed(target)
    environment = target.rows[-1].validation.environment
    int8 = environment.get("int8_instructions", [])
    elsewhere = (
        _latency_elsewhere(target, int8)
        if target.plan.target.device == "CPU"
        else _other_device(target.plan.target)
    )
    return [*_disturbed(target), *_saturating(target), elsewhere]


def _saturating(target: TargetResult) -> list[str]:
    names = [name for name, found in target.shipped.items() if target.may_saturate(found)]
    return [SATURATES.format(variants=" or ".join(names))] if names else []


def _disturbed(target: TargetResult) -> list[str]:
    busy = [
        f"{result.row.variant} {result.row.stage}"
        for result in target.rows
        if result.validation.latency.disturbed
    ]
    if not busy:
        return []
    stages = dict.fromkeys(r.row.stage for r in target.rows if r.validation.latency.disturbed)
    force = " ".join(f"--force validate-{stage}" for stage in stages)
    return [BUSY.format(rows=", ".join(busy), force=force)]


def _other_device(spec: Target) -> str:
    return (
        f"Anything on the {spec.device} of {spec.description}: this machine has none. Accuracy "
        "and ratios are those of the same file on this machine's CPU in float32 arithmetic "
        "where the file is float; another order of magnitude may be true of the "
        f"{spec.device}. To measure it there: build on a machine that has one, or "
        f"{line_to_add(spec)} and build with `--device NAME`."
    )


def line_to_add(spec: Target) -> str:
    way = "--adb SERIAL" if spec.is_android else "--ssh USER@HOST"
    return f"`edgekit device add NAME {way}`"


def _latency_elsewhere(target: TargetResult, int8: list[str]) -> str:
    """
    Args:
        int8: this machine's instructions for int8 dot products.
    """
    spec, board = target.plan.target, target.plan.board
    here = f"has {', '.join(int8)}" if int8 else "has no int8 dot-product instructions"
    why = f"{board.name} is emulated" if board else "no device took part in this build"
    return (
        f"Latency on {spec.description}: {why}. The "
        f"ratios are this machine's, whose processor {here}; what int8 gains depends on them, so "
        f"expect other ratios on its {spec.cpu}. To measure it there: "
        f"{line_to_add(spec)}, and build with `--device NAME`."
    )
