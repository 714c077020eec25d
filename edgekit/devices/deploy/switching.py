"""The switch to a release, what follows it, and how it is taken back."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from edgekit.devices.deploy.golden import GoldenRunner, prove
from edgekit.devices.deploy.health import RELOAD_SECONDS, Health
from edgekit.devices.deploy.links import Switch
from edgekit.devices.deploy.releases import ReleaseStore
from edgekit.devices.lock import held
from edgekit.errors import DeviceError, EdgekitError
from edgekit.transports.base import Listener


@dataclass(frozen=True)
class Switching:
    """A release in use on one device, until it has shown that it does well."""

    releases: ReleaseStore
    release: str
    precision: str
    health: Health
    golden_runner: GoldenRunner
    on_message: Listener

    def hold_health(self, switch: Switch | None, reload: bool) -> float:
        """Let the service take the release, and see whether all is well; else take the switch back.

        Args:
            switch: what to take back; None where the release was in use before.

        Returns:
            the largest difference from the golden scores.

        Raises:
            DeviceError: it does not do well; the message says what is in use.
        """
        device, folder = self.releases.device, f"{self.releases.folder}/current"
        try:
            if reload:
                self._reload()
            difference = prove(device, self.golden_runner(device, folder), self.precision)
            self.health.check_on(device, folder)
        except BaseException as error:
            came = self._take_back(switch) if switch else still_in_use(self.release)
            if isinstance(error, EdgekitError):
                error.add(came)
            else:
                error.add_note(came)
            raise
        if switch:
            self.releases.note_proved(switch)
        return difference

    def _reload(self) -> None:
        """
        Raises:
            DeviceError: the command failed.
        """
        if self.health.reload:
            limit = f"{RELOAD_SECONDS:g} s at most"
            self.on_message(f"{self.releases.device.name}: `{self.health.reload}`, {limit}")
        self.health.reload_on(self.releases.device, f"{self.releases.folder}/current")

    def _take_back(self, switch: Switch) -> str:
        """Also after Ctrl-C, and over a way that broke.

        Returns:
            what came of it.
        """
        device = self.releases.device
        device.interrupted = threading.Event()
        try:
            boot = device.reach_again(self.on_message)
            if boot is None:
                return "it is silent, and the release before was not put back"
            if boot == device.boot:
                return self._put_back(switch)
            # The lock ended with the boot: somebody else may have begun.
            device.boot = boot
            with held(device, self.on_message):
                return self._put_back(switch)
        except DeviceError as error:
            return f"and putting the release before back failed: {error.message}"

    def _put_back(self, switch: Switch) -> str:
        if self.releases.current() != switch.release:
            return "another release is in use by now, and stays"
        before = switch.current
        if before and not self.releases.is_there(before):
            return f"release {before[:12]} was removed since, and {still_in_use(switch.release)}"
        self.releases.switch_back(switch)
        if before is None:
            unsaid = "; the service was not reloaded: it has no model" if self.health.reload else ""
            return f"none is in use, as before{unsaid}"
        put_back = f"release {before[:12]} is in use again"
        try:
            self._reload()
        except DeviceError as error:
            return f"{put_back}, and its service was not reloaded: {error.message}"
        return put_back


def still_in_use(release: str) -> str:
    return f"release {release[:12]} is in use all the same"


def switched(releases: ReleaseStore, release: str, on_message: Listener) -> str | None:
    """Switch, and where the connection breaks in it, look what came of it.

    Returns:
        a note, where it was done and the connection broke all the same.

    Raises:
        DeviceError: another release is in use than this one, or nobody knows.
    """
    try:
        releases.switch(release)
    except DeviceError as error:
        boot = releases.device.reach_again(on_message)
        if boot is None:
            error.hint = "whether it is in use now is not known: deploy it again, which changes "
            error.hint += "nothing where it is"
            raise
        if releases.current() != release:
            raise
        if boot != releases.device.boot:
            error.add(f"the device restarted, and {still_in_use(release)}")
            error.hint = "deploy it again: that does what should have followed the switch"
            raise
        return f"it is in use, and then: {error.message}"
    return None
