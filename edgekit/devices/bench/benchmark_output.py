"""What Android's benchmark_model told of a run: its latency, its memory, and what ran the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgekit.devices.agent_result import Count, Delegate, MemoryBytes, ReportPart

Tool = Literal["classic", "litert"]
Microseconds = Annotated[float, Field(ge=0, le=1e13)]


class ReportedLatency(ReportPart):
    """Microseconds of single inferences; None for what this build of the tool does not tell."""

    count: Count = Field(ge=1)
    mean: Microseconds
    min: Microseconds | None = None
    max: Microseconds | None = None
    std: Microseconds | None = None
    first: Microseconds | None = None
    p5: Microseconds | None = None
    median: Microseconds | None = None
    p95: Microseconds | None = None


class Footprint(ReportPart):
    """Bytes above those of the tool as it started."""

    init: MemoryBytes | None = None
    overall: MemoryBytes | None = None
    peak: MemoryBytes | None = None


class Replaced(ReportPart):
    """Nodes that a delegate took."""

    delegate: str
    nodes: Count
    total: Count | None


class Output(ReportPart):
    tool: Tool
    init: Microseconds
    """To make the model ready."""
    first: Microseconds | None
    warmup: ReportedLatency | None
    latency: ReportedLatency
    memory: Footprint
    replaced: list[Replaced]
    applied: list[str]
    """Delegates that execute the model or a part of it, by the tool's word."""
    refused: list[str]
    """Delegates that were asked for and execute nothing."""
    unknown_flags: str | None
    """What was asked in flags that this build does not know."""

    def delegate(self, engine: str) -> Delegate:
        """What was requested to run the model, and what does.

        Args:
            engine: CPU, GPU or NPU. The classic tool's CPU is XNNPACK, which a flag requests.
        """
        on_cpu = engine == "CPU"
        taken = [part for part in self.replaced if ("XNNPack" in part.delegate) == on_cpu]
        requested = "XNNPACK" if on_cpu and self.tool == "classic" else engine
        return Delegate(
            asked=requested,
            applied=requested if self._executes(engine, bool(taken)) else "CPU",
            nodes_delegated=sum(part.nodes for part in taken) if taken else None,
            nodes_total=_all_nodes(taken),
        )

    def _executes(self, engine: str, took_nodes: bool) -> bool:
        """Whether the delegate of an engine runs the model or a part of it."""
        name = "XNNPACK" if engine == "CPU" else engine
        if any(name in each for each in self.refused):
            return False
        if name.lower() in (self.unknown_flags or "").lower():
            return False
        # XNNPACK is a part of the tool: builds that say nothing of it run it.
        return engine == "CPU" or took_nodes or any(name in each for each in self.applied)


def _all_nodes(taken: list[Replaced]) -> int | None:
    """How many nodes the graphs have that a delegate took nodes of; None where the tool leaves one
    out."""
    totals = [part.total for part in taken if part.total is not None]
    return sum(totals) if taken and len(totals) == len(taken) else None
