"""Devices: which there are, what they have, and giving them what they lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import on_stderr
from edgekit.cli._options import FILE, debug_option, json_option
from edgekit.cli._output import say, say_json
from edgekit.cli.deployed import clean, models, unlock
from edgekit.errors import DeviceError, Fault, InputError

if TYPE_CHECKING:
    from edgekit.devices.facts import Checked
    from edgekit.transports.base import Transport


@click.group()
def device() -> None:
    """Add, check and set up the devices that models run on.

    \b
        edgekit device add pi5 --ssh pi@raspberrypi.local
    """


@device.command()
@click.argument("name")
@click.option("--ssh", metavar="HOST", help="user@host, or a name of your ssh_config.")
@click.option("--adb", metavar="SERIAL", help="An Android device, as `adb devices` names it.")
@click.option("--local", is_flag=True, help="This machine.")
@click.option("--emulated", metavar="CPU", help="cortex-a53, cortex-a72 or cortex-a76, under qemu.")
@click.option("--home", help="Its folder for edgekit.  [default: ~/edgekit]")
@click.option("--python", help="The Python that runs models there.  [default: of `device setup`]")
@click.option("--group", "groups", multiple=True, help="One it belongs to; more than once.")
@click.option("--port", type=int, help="With --ssh.")
@click.option("--ssh-config", "config", type=FILE, help="With --ssh: the file for `ssh -F`.")
@click.option("--identity", type=FILE, help="With --ssh: the private key.")
@click.option(
    "--accept-new-host-key",
    is_flag=True,
    help="With --ssh: trust a host that is not known yet, this once. A changed key is refused.",
)
@click.option("--unchecked", is_flag=True, help="Write the entry without reaching the device.")
@debug_option
def add(name: str, unchecked: bool, **options: Any) -> None:
    """Add a device to the inventory, once it could be reached.

    \b
        edgekit device add pi5 --ssh pi@raspberrypi.local
    """
    from edgekit.devices.device import Device
    from edgekit.devices.inventory import add_device, check_name, inventory_path

    check_name(name)
    transport = _transport(**options)
    if not unchecked:
        transport.prepare(on_stderr)
        with Device(name, transport):
            pass
    add_device(name, transport)
    say(f"{name} ({transport.address}) is in {inventory_path()}")
    say(f"next: edgekit device check {name}")


def _transport(
    ssh: str | None, adb: str | None, local: bool, emulated: str | None, **options: Any
) -> Transport:
    """
    Raises:
        InputError: not exactly one way is named, or a field is of no use for it.
    """
    from pydantic import ValidationError

    from edgekit.devices.inventory import find_transports

    ways = {"ssh": ssh, "adb": adb, "local": local or None, "emulated": emulated}
    passed = [way for way, value in ways.items() if value is not None]
    if len(passed) != 1:
        raise InputError(
            "one of --ssh HOST, --adb SERIAL, --local and --emulated CPU is needed, and no more"
        )
    way = passed[0]
    where = {"ssh": {"host": ssh}, "adb": {"serial": adb}, "emulated": {"cpu": emulated}}
    fields = {key: value for key, value in options.items() if value not in (None, False, ())}
    if "groups" in fields:
        fields["groups"] = list(fields["groups"])
    # The inventory is read from any folder.
    for key in fields.keys() & {"config", "identity"}:
        fields[key] = str(fields[key].absolute())
    try:
        return find_transports()[way].model_validate({**where.get(way, {}), **fields})
    except ValidationError as error:
        lines = [f"{_option(item)}: {_problem(item)}" for item in error.errors()]
        raise InputError(f"this is no device by --{way}: {'; '.join(lines)}") from None


NAMED_BY = {"host": "ssh", "serial": "adb", "cpu": "emulated"}
"""The options that give a transport's fields, where they are called otherwise."""
PATTERNS = {"host": "a name without spaces, not beginning with -,", "home": "an absolute path"}
"""What a field's pattern means."""


def _option(item: Any) -> str:
    field = str(item["loc"][0])
    return f"--{NAMED_BY.get(field, field).replace('_', '-')}"


def _problem(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "of no use here"
    if item["type"] == "string_pattern_mismatch":
        return f"{PATTERNS[item['loc'][0]]} expected, not {item['input']!r}"
    return f"{item['msg'].removeprefix('Value error, ')}, not {item['input']!r}"


@device.command("list")
@json_option
@debug_option
def list_(as_json: bool) -> None:
    """Show the devices of the inventory.

    \b
        edgekit device list
    """
    from edgekit.devices.inventory import inventory_path, read_inventory

    devices = read_inventory()
    if as_json:
        entries = {
            name: {**way.model_dump(), "address": way.address} for name, way in devices.items()
        }
        say_json(entries)
        return
    width = max(map(len, devices), default=0)
    for name, way in devices.items():
        groups = f"  ({', '.join(way.groups)})" if way.groups else ""
        say(f"{name:{width}}  {way.transport:8}  {way.address}{groups}")
    if not devices:
        say(f"no devices in {inventory_path()}; see edgekit device add --help", err=True)


@device.command()
@click.argument("name")
@json_option
@debug_option
def check(name: str, as_json: bool) -> None:
    """Tell what a device has and lacks, and what fixes it.

    \b
        edgekit device check pi5
    """
    from edgekit.devices.check import check as look
    from edgekit.devices.device import Device
    from edgekit.devices.inventory import find_device

    with Device(name, find_device(name)) as opened:
        checked = look(opened)
    if as_json:
        say_json(checked)
    else:
        _show(checked)
    missing = [problem for problem in checked.problems if problem.blocks]
    if missing:
        raise DeviceError(
            f"{name}: " + "; ".join(problem.what for problem in missing),
            hint=missing[0].fix,
            fault=_fault(checked),
        )


def _fault(checked: Checked) -> Fault:
    if checked.bits == 32:
        return Fault.WRONG_ARCHITECTURE
    has_runtime = checked.python and checked.python.packages.keys() - {"numpy"}
    return Fault.OTHER if has_runtime else Fault.MISSING_RUNTIME


def _show(checked: Checked) -> None:
    for field, value in checked:
        if field in ("unread", "problems", "models") or (field == "trials" and not value):
            continue
        reason = checked.unread.get(field)
        text = f"- ({reason})" if value is None else _text(field, value)
        say(f"{field.removesuffix('_bytes').removesuffix('_c'):12}  {text}")
    for model in checked.models or []:
        whole = "in use and whole" if model.is_whole else "not whole"
        say(f"{'model':12}  {model.name}, release {(model.current or 'none')[:16]}: {whole}")
    for problem in checked.problems:
        mark = "missing" if problem.blocks else "advice"
        say(f": {problem.what}\n  {problem.fix}", mark=f"\n{mark}", bold=True)


def _text(field: str, value: Any) -> str:
    if field.endswith("_bytes"):
        return f"{value / 1e9:.1f} GB"
    if field == "temperature_c":
        return f"{value:.1f} C"
    if field == "python":
        packages = ", ".join(f"{name} {version}" for name, version in value.packages.items())
        return f"{value.version} ({value.path}): {packages or 'no runtime'}"
    if field == "throttling":
        now, since = ", ".join(value.now), ", ".join(value.since_boot)
        return f"now {now or 'none'}; since boot {since or 'none'}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@device.command()
@click.argument("name")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help="litert, onnxruntime or openvino; more than once.  [default: litert, onnxruntime]",
)
@debug_option
def setup(name: str, runtimes: tuple[str, ...]) -> None:
    """Make a venv with pinned runtimes in the device's folder.

    \b
        edgekit device setup pi5

    The device's own Python is not touched.
    """
    from edgekit.devices.device import Device
    from edgekit.devices.engines import DEFAULT_RUNTIMES
    from edgekit.devices.inventory import find_device
    from edgekit.devices.setup import set_up

    with Device(name, find_device(name)) as opened:
        done = set_up(opened, runtimes or DEFAULT_RUNTIMES, on_stderr)
    for note in done.notes:
        say(f"note: {note}", err=True)
    packages = ", ".join(f"{package} {version}" for package, version in done.packages.items())
    what = "nothing to do" if done.was_there else "done"
    say(f"{name}: {what}: {done.python} has {packages}")


@device.command()
@click.argument("name")
@debug_option
def remove(name: str) -> None:
    """Take a device out of the inventory.

    \b
        edgekit device remove pi5

    What is on the device stays there.
    """
    from edgekit.devices.inventory import inventory_path, remove_device

    remove_device(name)
    say(f"{name} is no longer in {inventory_path()}")


device.add_command(models)
device.add_command(clean)
device.add_command(unlock)
