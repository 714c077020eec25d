"""What a checked device lacks, and the command that fixes it; nothing of it is ever run."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.devices.bench.watched import GROUP, PI
from edgekit.devices.facts import Checked, DeviceProblem

PROGRAMS = ("sha256sum", "tar", "df", "sync", "mv", "ln")
"""What edgekit calls on a device, all of it POSIX or coreutils."""
MIN_PYTHON = (3, 9)
MIN_SPACE = 300_000_000
"""Bytes for the agent, its runtimes and a few models."""
GOVERNOR = (
    "on the device: echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/"
    "scaling_governor  (until it restarts)"
)
ONLY_32_BITS_HINT = (
    "install an OS of 64 bits (Raspberry Pi OS 64-bit runs from the Pi 3 and Zero 2 W on); on this "
    "one only tflite-runtime runs, up to Python 3.11: `sudo apt-get install python3-numpy`, "
    "`pip install tflite-runtime` there, and name that Python with `python` in the inventory"
)
LINKS = (
    "on a board: sudo apt-get install coreutils; on a phone: a newer Android; on a FAT or network "
    "drive: name another `home` in the inventory"
)


def only_32_bits(what: str) -> str:
    """The one sentence for a 32-bit system, wherever it is met."""
    return (
        f"unsupported: a 32-bit system ({what}); onnxruntime, ai-edge-litert and openvino have no "
        "packages for it"
    )


def no_links(home: str) -> str:
    return f"a link cannot be replaced atomically: `ln -sfn` or `mv -T` does not work in {home}"


def deploy_again(name: str) -> str:
    """What to do about a damaged release that is in use."""
    return f"deploy it again: edgekit deploy ARTIFACT --device {name}"


def remove_damaged(name: str) -> str:
    """What to do about a damaged release that is not in use."""
    return f"edgekit device clean {name} --damaged"


def problems_of(checked: Checked, has_links: bool) -> list[DeviceProblem]:
    """Everything a device lacks (pure).

    Args:
        has_links: whether a link can be replaced atomically there.
    """
    return [
        *_system(checked, has_links),
        *_python(checked),
        *_trials(checked),
        *_models(checked),
        *_disturbances(checked),
    ]


def _system(checked: Checked, has_links: bool) -> Iterator[DeviceProblem]:
    if checked.bits == 32:
        yield DeviceProblem(
            what=only_32_bits("its OS"),
            fix=ONLY_32_BITS_HINT,
        )
    missing = [name for name in PROGRAMS if name not in (checked.programs or PROGRAMS)]
    if missing:
        packages = sorted({"tar" if name == "tar" else "coreutils" for name in missing})
        yield DeviceProblem(
            what=f"programs are missing: {', '.join(missing)}",
            fix="a newer Android"
            if _is_android(checked)
            else f"on the device: sudo apt-get install {' '.join(packages)}",
        )
    elif not has_links:
        yield DeviceProblem(
            what=no_links(checked.home),
            fix=LINKS,
        )
    if checked.free_bytes is not None and checked.free_bytes < MIN_SPACE:
        yield DeviceProblem(
            what=f"{checked.free_bytes / 1e6:.0f} MB are free in {checked.home}, "
            f"{MIN_SPACE / 1e6:.0f} MB are wanted",
            fix="free some space there, or name another `home` in the inventory",
        )


def _is_android(checked: Checked) -> bool:
    return (checked.os or "").startswith("Android")


def _python(checked: Checked) -> Iterator[DeviceProblem]:
    setup = f"edgekit device setup {checked.name}"
    python = checked.python
    if python is None and _is_android(checked):
        yield DeviceProblem(
            what="Android has no Python: models run there with a benchmark_model of yours",
            fix="edgekit bench MODEL --benchmark-binary FILE",
            blocks=False,
        )
        return
    if python is None:
        yield DeviceProblem(
            what=f"no Python runs there: {checked.unread.get('python')}",
            fix="on the device: sudo apt-get install python3; or, if the inventory names another "
            "with `python`, name one that is there",
        )
        return
    if python.release < MIN_PYTHON:
        yield DeviceProblem(
            what=f"{python.path} is Python {python.version}, older than 3.9",
            fix="install a newer one and name it with `python` in the inventory",
        )
        return
    if "numpy" not in python.packages:
        yield DeviceProblem(what=f"numpy is not installed for {python.path}", fix=setup)
    if not python.packages.keys() - {"numpy"}:
        yield DeviceProblem(what=f"no runtime is installed for {python.path}", fix=setup)


def _trials(checked: Checked) -> Iterator[DeviceProblem]:
    for trial in checked.trials or []:
        if trial.fault:
            yield DeviceProblem(what=trial.fault, fix=trial.fix or "")


def _models(checked: Checked) -> Iterator[DeviceProblem]:
    again = deploy_again(checked.name)
    for model in checked.models or []:
        if model.is_lost:
            yield DeviceProblem(
                what=f"release {str(model.current)[:12]} of {model.name}, which is in use, is gone",
                fix=again,
            )
        for release in model.releases:
            if release.damaged:
                which = "in use" if release.in_use else "not in use"
                yield DeviceProblem(
                    what=f"release {release.release[:12]} of {model.name}, which is {which}, is "
                    f"damaged: {', '.join(release.damaged)}",
                    # Whoever deploys one that is kept puts it in use.
                    fix=again if release.in_use else remove_damaged(checked.name),
                    blocks=release.in_use,
                )


def _disturbances(checked: Checked) -> Iterator[DeviceProblem]:
    """What would disturb a measurement."""
    strange = [name for name in checked.governors or [] if name != "performance"]
    if strange:
        yield DeviceProblem(
            what=f"the governor is {', '.join(strange)}: clocks change during a measurement",
            fix=GOVERNOR,
            blocks=False,
        )
    hidden = checked.unread.get("throttling")
    if hidden and (checked.board or "").startswith(PI):
        yield DeviceProblem(
            what=f"its throttle bits cannot be read ({hidden}): nobody would see that a run was "
            "slowed down",
            fix=f"on the device: {GROUP}, and log in again",
            blocks=False,
        )
    if checked.throttling and checked.throttling.now:
        yield DeviceProblem(
            what=f"it is throttled now: {', '.join(checked.throttling.now)}",
            fix="under-voltage wants a stronger power supply, heat a heat sink or a fan; see "
            "`vcgencmd get_throttled` there",
            blocks=False,
        )
    elif checked.throttling and checked.throttling.since_boot:
        yield DeviceProblem(
            what=f"since it started there was: {', '.join(checked.throttling.since_boot)}",
            fix="restart it to clear this: sudo reboot",
            blocks=False,
        )
