"""Estimates from counted instructions, with the scales of boards that were calibrated."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.cycle_model.file_estimate import CycleEstimate
from edgekit.devices.emulated_wheel import core_named
from edgekit.devices.estimate.calibrate import calibration_path, read_calibration
from edgekit.devices.estimate.latency_model import LatencyModel
from edgekit.errors import InputError
from edgekit.evidence import Measurement
from edgekit.transports.base import Listener
from edgekit.transports.emulation.cpus import CpuName


@dataclass(frozen=True)
class CalibratedBoards:
    models: tuple[LatencyModel, ...]

    @classmethod
    def of_core(cls, core: CpuName, on_message: Listener) -> CalibratedBoards:
        """
        Args:
            on_message: told of a calibration that cannot be read, which is left out.
        """
        found = []
        for path in sorted(calibration_path("any").parent.glob("*.json")):
            try:
                model = read_calibration(path.stem)
            except InputError as error:
                on_message(error.message)
                continue
            if model and core_named(model.cpu) == core:
                found.append(model)
        return cls(tuple(found))

    def scaled(
        self, counted: CycleEstimate, runtime: str, precision: str
    ) -> dict[str, Measurement]:
        """Milliseconds by device, where one was calibrated with one thread for such files."""
        return {
            model.device: one.cycle_scale.applied(counted, model.device)
            for model in self.models
            for one in model.fits
            if one.key == (runtime, precision, 1) and one.cycle_scale
        }
