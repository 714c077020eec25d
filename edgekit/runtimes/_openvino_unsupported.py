"""Why a device would not take an IR file, read from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes import _openvino_read as read

NPU_LACKS = {
    *("BinaryConvolution", "Col2Im", "CTCLoss", "GenerateProposals", "MatrixNms"),
    *("MulticlassNms", "Multinomial", "SearchSorted", "Unique"),
}
"""Operators that the importer of the NPU's compiler has no parser for, and no pass rewrites:
NGraphImporter::getParser in src/vpux_compiler/src/frontend/IE.cpp and parseNode in IE.hpp of
github.com/openvinotoolkit/npu_compiler, read in 2026. Not every operator missing there is here."""
NPU_CANNOT_COMPUTE = {"f64", "u1"}
"""f64: OpenVINO's page "NPU Device" lists F32, F16 and U8 as its inference precisions; the
compiler turns f32 into f16, i64 into i32, and leaves f64. u1: its importer stops at it with
"Unsupported precision" (github.com/openvinotoolkit/openvino/issues/27626)."""
LINES = 3
"""Operators named of those whose shapes are not fixed."""


def unsupported_reasons(path: Path, device: str) -> tuple[str, ...]:
    """Why a device would not take the file, from the file alone; one line each."""
    model = read.load(path)
    found = _dynamic(model)
    if device.split(".")[0] != "NPU":
        return found
    live = graph.computed(model)
    for op in model.get_ordered_ops():
        kind, name = op.get_type_name(), op.get_friendly_name()
        if kind in NPU_LACKS:
            found += (f"{kind} {name}: the NPU's compiler does not know this operator",)
        types = {output.get_element_type().get_type_name() for output in op.outputs()}
        # A constant in f64 is folded into its reader; what is computed must have a kernel.
        for dtype in sorted(types & NPU_CANNOT_COMPUTE) if op.get_name() in live else ():
            found += (f"{kind} {name}: the NPU does not compute in {dtype}",)
    return found


def _dynamic(model: Any) -> tuple[str, ...]:
    lines = []
    for op in model.get_ordered_ops():
        shapes = [output.get_partial_shape() for output in op.outputs()]
        lines += [
            f"{op.get_type_name()} {op.get_friendly_name()}: its shape {shape} is not fixed"
            for shape in shapes
            if shape.is_dynamic
        ]
    # Everything behind a dynamic operator is dynamic: the first few tell where it starts.
    more = len(lines) - LINES
    return (
        (*lines[:LINES], f"{more} more shapes behind these are not fixed")
        if more > 0
        else (*lines,)
    )
