"""The table of `edgekit inspect`: which operators lose what."""

from __future__ import annotations

from rich.table import Table

from edgekit.api.results import InspectReport
from edgekit.inspection.tensor_report import MIN_SHARE_THROUGH, Inspection, TensorReport

NO_RECIPE = (
    "These are keys of a recipe's stages, and this file has none: edgekit makes one that holds of "
    "the float model, with `stages: [{quantize: {method: auto}}, export]` under "
    "`model: {weights: FILE}`, an .onnx or Keras file."
)
MIN_LOST_DB = 3.0
MIN_NOISE_SHARE = 0.02
"""A tensor is shown that loses as much, or at which this share of the noise arose."""


def inspection_table(report: InspectReport, everything: bool) -> Table:
    found = report.inspection
    table = Table(title=f"{report.file} against {report.float_file.name}")
    table.add_column("operator", overflow="fold", min_width=28)
    table.add_column("kind", no_wrap=True)
    for heading in ("dB", "lost", "codes dB", "noise %", "clipped %", "dead", "float", "codes"):
        table.add_column(heading, justify="right", no_wrap=True)
    wrong = {tensor.name for tensor in found.wrong}
    for tensor in found.tensors:
        if everything or tensor.name in wrong or _is_shown(tensor, found):
            style = "bold red" if tensor.name in wrong else None
            table.add_row(*_cells(tensor), style=style)
    return table


def _is_shown(tensor: TensorReport, found: Inspection) -> bool:
    loses = (
        tensor.lost_db >= MIN_LOST_DB
        and tensor.share_through >= MIN_SHARE_THROUGH
        and tensor.inherited_db > 0
    )
    is_an_end = tensor.name in (found.tensors[0].name, found.tensors[-1].name)
    return is_an_end or loses or tensor.share_added >= MIN_NOISE_SHARE


def _cells(tensor: TensorReport) -> list[str]:
    coded = tensor.code_low is not None
    return [
        tensor.layer,
        tensor.kind,
        f"{tensor.sqnr_db:.1f}",
        f"{tensor.lost_db:.1f} by {tensor.cause}" if tensor.lost_db >= 1 else "",
        f"{tensor.codes_db:.1f}" if tensor.codes_db is not None else "float",
        f"{100 * tensor.share_added:.0f}",
        f"{100 * tensor.clipped:.2f}" if tensor.clipped else "",
        f"{tensor.dead}/{tensor.channels}" if tensor.dead else "",
        f"{tensor.low:.2g}..{tensor.high:.2g}",
        f"{tensor.code_low:.2g}..{tensor.code_high:.2g}" if coded else "",
    ]
