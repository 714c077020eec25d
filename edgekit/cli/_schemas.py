"""The JSON that commands print and read, by the name that `edgekit schema` takes."""

from __future__ import annotations

import importlib
from typing import Any

MODELS = {
    "plan": "edgekit.api.results:PlanReport",
    "report": "edgekit.build_folder.report:Report",
    "inspect": "edgekit.api.results:InspectReport",
    "model-summary": "edgekit.inspection.summary:ModelSummary",
    "checkpoint-summary": "edgekit.inspection.checkpoint:CheckpointSummary",
    "compare": "edgekit.comparison.record:CompareReport",
    "device-report": "edgekit.devices.bench.report:DeviceReport",
    "fleet": "edgekit.devices.bench.fleet_report:FleetReport",
    "device-check": "edgekit.devices.facts:Checked",
    "bundle": "edgekit.api.results:BundleReport",
    "deploy": "edgekit.devices.deploy.result:DeployRecord",
    "estimate": "edgekit.devices.estimate.estimate:Estimate",
    "calibration": "edgekit.devices.estimate.latency_model:LatencyModel",
    "search": "edgekit.model_search.report:SearchReport",
    "sweep": "edgekit.model_search.sweep:SweepReport",
    "matrix": "edgekit.report.matrix:MatrixReport",
    "history": "edgekit.history.trend:HistoryReport",
    "doctor": "edgekit.setup.doctor:Diagnosis",
    "targets": "edgekit.setup.target_needs:TargetNeeds",
    "explain": "edgekit.setup.explain:Explanation",
    "progress": "edgekit.engine.progress:ProgressEvent",
}
LISTS = ("deploy", "targets", "explain")
"""Of which a command prints a list."""
NAMES = ("recipe", "target", *MODELS)


def schema_of(name: str) -> dict[str, Any]:
    """A JSON Schema whose `$id` ends with the version of what it describes."""
    from edgekit.spec.docstrings import DescribedSchema

    if name == "recipe":
        from edgekit.spec.recipe import recipe_schema

        return recipe_schema()
    if name == "target":
        from edgekit.spec.target import Target

        value = Target.model_json_schema(schema_generator=DescribedSchema)
        value["required"] = [key for key in value["required"] if key != "name"]
        return value
    module, _, kind = MODELS[name].partition(":")
    model = getattr(importlib.import_module(module), kind)
    made = model.model_json_schema(mode="serialization", schema_generator=DescribedSchema)
    fields = model.model_fields
    version = next((fields[k].default for k in ("schema_version", "version") if k in fields), 1)
    if name in LISTS:
        definitions = made.pop("$defs", {})
        made = {"type": "array", "items": made, "$defs": definitions}
    return {"$id": f"urn:edgekit:schema:{name}:{version}", **made}
