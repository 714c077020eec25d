"""What a person sees of a build: progress bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from edgekit.api.results import BuildResult, InspectReport
from edgekit.build_folder.report import Report
from edgekit.cli._inspection_table import NO_RECIPE, inspection_table
from edgekit.cli._output import say
from edgekit.cli._report_tables import choices_table, device_table, rows_table
from edgekit.cli._step_result import told_of
from edgekit.cli._terminal import Terminal
from edgekit.data.problem import DataProblem
from edgekit.engine.artifact import Artifact
from edgekit.engine.progress import Pace, duration
from edgekit.engine.step import Step, StepState
from edgekit.inspection.causes import Cause
from edgekit.inspection.tensor_report import SOUND_DB
from edgekit.printable import printable
from edgekit.report.comparison import Comparison, compare
from edgekit.report.summary import summarise

PLAIN_SECONDS = 20.0
"""Between progress lines where there is no terminal."""
LONG_SECONDS = 60.0
"""Of a step that is told though there is nothing else to say of it."""
PLAIN_WIDTH = 160
"""Columns of a log file, where nothing is cut off."""
MAX_SHOWN = 3
"""Operators named with each fix."""


class Console:
    """An `edgekit.pipeline.run.Observer` that prints. With `quiet`, stdout stays empty."""

    def __init__(self, quiet: bool = False) -> None:
        self.out = Terminal(stderr=quiet)
        self.live = self.out.is_terminal
        if not self.live:
            self.out.width = PLAIN_WIDTH
        self.bars = Progress(
            TextColumn("{task.fields[step]:32}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.out,
            transient=True,
        )
        self.tasks: dict[str, TaskID] = {}
        """Bars, by the keys of the steps that run; empty for what is no step."""
        self.paces: dict[str, Pace] = {}
        self.forecast: set[str] = set()
        self.last_line = 0.0
        self.interrupted = False

    def __enter__(self) -> Console:
        if self.live:
            self.bars.start()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def _interrupt(self, *_: object) -> None:
        """Raised at once; and again at the next step, for converters swallow it in callbacks."""
        self.interrupted = True
        raise KeyboardInterrupt

    def _go_on(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        self._stop_bars()
        if signal.getsignal(signal.SIGINT) == self._interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def waiting(self, step: Step) -> None:
        self._say(f"{step.id}: another build is at it; waiting for its result")

    def failed(self, step: Step, reason: str) -> None:
        self._go_on()
        self._end_bar(step.key)
        self._say(f"{step.id}: failed: {reason}")

    def started(self, step: Step) -> None:
        self._go_on()
        self.last_line = time.monotonic()
        self.paces[step.key] = Pace()
        if self.live and step.key not in self.tasks:
            self.tasks[step.key] = self.bars.add_task("", step=step.id, note="", total=None)
        if step.state is StepState.CHANGED:
            self._say(f"{step.id}: {step.reason}")

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        left = self.paces.setdefault(step.key, Pace()).seconds_left(done, total)
        known = step.key in self.forecast
        if left and left > PLAIN_SECONDS and step.action.amount and not known:
            self.forecast.add(step.key)
            self._say(
                f"{step.id}: {step.action.amount}, about {duration(left)} more on this machine"
            )
        more = f", about {duration(left)} more" if left and left > 1 else ""
        self._advance(step.key, done, total, note, f"{step.id}: {note}{more}")

    def working(self, done: int, total: int, note: str) -> None:
        """Progress of something that is no step of a plan."""
        self._go_on()
        if self.live and "" not in self.tasks:
            self.tasks[""] = self.bars.add_task("", step="measure", note="", total=None)
        self._advance("", done, total, note, f"{note}: {done}/{total}")

    def remark(self, line: str) -> None:
        say(line, err=True)

    def _advance(self, key: str, done: int, total: int, note: str, line: str) -> None:
        """Move the bar; where there is none, print a line now and then."""
        if self.live and key in self.tasks:
            self.bars.update(self.tasks[key], completed=done, total=total, note=printable(note))
        elif time.monotonic() - self.last_line > PLAIN_SECONDS:
            self.last_line = time.monotonic()
            self._say(line)

    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None:
        self._go_on()
        self._end_bar(step.key)
        line = told_of(step, artifact)
        if ran and (line or artifact.seconds >= LONG_SECONDS):
            self._say(f"{step.id}: {'; '.join(filter(None, (duration(artifact.seconds), line)))}")

    def _stop_bars(self) -> None:
        if self.live:  # else it would print an empty line
            self.bars.stop()

    def _end_bar(self, key: str) -> None:
        if key in self.tasks:
            self.bars.remove_task(self.tasks.pop(key))

    def built(self, result: BuildResult) -> None:
        """What came of each target."""
        self._stop_bars()
        self.left_out(result.left_out)
        if not result.reports:
            return
        comparison = compare(result.folders[0].parent, list(result.reports))
        if len(result.reports) > 1:
            self.comparison(comparison.reports)
        else:
            self.report(result.report, result.folders[0])
        self.compared(comparison, result.folders[0].parent)

    def report(self, report: Report, folder: Path) -> None:
        self._stop_bars()
        self._headline(report, f"{report.recipe} for {report.target}")
        self._untrained(report)
        self.out.print(rows_table(report))
        self.out.print(
            f"Ranges are 95 % intervals on {report.rows[0].validation.top1.samples} images. "
            f"Latency: {report.evidence}, against the float model on the same runtime."
        )
        if report.environment.get("int8_instructions") == []:
            self.out.print("The processor it was taken on has no int8 dot products.")
        if table := device_table(report):
            self.out.print(table)
        for line in report.estimates.lines if report.estimates else ():
            self._say(line)
        self.data_problems(report.near_duplicates)
        self._busy([report])
        self._uncertain(report)
        self.remarks(report)
        self._not_ranked(report)
        if report.choice:
            self._say(report.choice.told(report.evidence))
        self._say(f"Report: {folder / 'report.html'}")

    def _untrained(self, report: Report) -> None:
        if report.untrained:
            self._say(report.untrained)

    def _headline(self, report: Report, name: str) -> None:
        """What to ship, at what gain and loss."""
        found = summarise(report)
        self._say(f"{name}: {report.status}" + (f". {found.sentence}" if found else ""))

    def _uncertain(self, report: Report, prefix: str = "") -> None:
        for line in report.uncertain:
            self._say(f"{prefix}{line}")

    def _not_ranked(self, report: Report, prefix: str = "") -> None:
        self.left_out(report.left_out, prefix)
        for name, reason in report.not_compared.items():
            self._say(f"Not compared: {prefix}{name}: {reason}")

    def comparison(self, reports: list[Report]) -> None:
        """What each target takes, where several were built."""
        self._stop_bars()
        for report in reports:
            self._headline(report, f"{report.recipe} for {report.target}")
        self._untrained(reports[0])
        self.out.print(choices_table(reports))
        first = reports[0]
        on = {str(report.evidence) for report in reports}
        self.out.print(
            f"Ranges are 95 % intervals on {first.rows[0].validation.top1.samples} images. "
            f"Latency: {' or '.join(sorted(on))}, against float on the same runtime."
        )
        self.data_problems(first.near_duplicates)
        self._busy(reports)
        self.remarks(first)
        for report in reports:
            self._uncertain(report, f"{report.target}: ")
            self._not_ranked(report, f"{report.target}: ")

    def compared(self, comparison: Comparison, folder: Path) -> None:
        """Where the recipe's targets stand beside each other, and which of them do not."""
        for target, reason in comparison.stale.items():
            self._say(f"{target} is stale: {reason}")
        if comparison.reports and comparison.is_one:
            self._say(
                f"Comparison: {folder / 'comparison.html'}; each target's report in its folder"
            )

    def inspection(self, report: InspectReport, everything: bool) -> None:
        """Where a compressed file parts from its float original."""
        found = report.inspection
        self.out.print(inspection_table(report, everything))
        self._say(
            f"{len(found.tensors)} tensors on {found.images} images ({report.images_from}); "
            f"{found.fused} more are fused away. dB: signal to quantisation noise, the median over "
            "images; codes dB: if the tensor's own codes made all the noise. noise: the share of "
            "the scores' noise that arose there. float, codes: the ranges."
        )
        if report.rescaled:
            self._say(
                "Its channels were rescaled before it was quantised (corrections): each is "
                "compared up to a factor."
            )
        self._say(f"The scores have {found.sqnr_db:.1f} dB.")
        if found.is_sound:
            self._say(
                f"Nothing goes wrong: {SOUND_DB:g} dB and more decide as the float file does."
            )
            return
        first = found.wrong[0]
        where = f"first at {first.layer} ({first.kind})" if first.goes_wrong else "nowhere alone"
        self._say(f"It goes wrong {where}.")
        for cause in report.findings:
            self._cause(cause)
        if not report.built:
            self._say(NO_RECIPE)

    def _cause(self, cause: Cause) -> None:
        shown = [*zip(cause.layers, cause.symptoms, strict=True)]
        for layer, symptom in shown[:MAX_SHOWN]:
            self._say(f"- {layer}: {symptom}.")
        if len(shown) > MAX_SHOWN:
            self._say(f"- and {len(shown) - MAX_SHOWN} more.")
        self._say(f"  What usually fixes it: {cause.fix}.")

    def _busy(self, reports: list[Report]) -> None:
        if any(row.validation.latency.disturbed for report in reports for row in report.rows):
            self._say("The machine was too busy to measure latency: see the report for what to do")

    def data_problems(self, problems: Iterable[DataProblem]) -> None:
        for problem in problems:
            self._say(f"data: {problem}")

    def remarks(self, report: Report) -> None:
        for stage, line in report.remarks.items():
            self._say(f"{stage}: {line}")

    def left_out(self, reasons: dict[str, str], prefix: str = "") -> None:
        for name, reason in reasons.items():
            self._say(f"Left out: {prefix}{name}: {reason}")

    def _say(self, line: str) -> None:
        self.out.print(line, soft_wrap=True)
