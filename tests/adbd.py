"""An adbd for tests: the real `adb` client connects to it over loopback TCP.

Commands run in this machine's shell, with a folder of programs (getprop, dumpsys, ...) in front of
its PATH; files are this machine's. Messages as in AOSP's adb/protocol.txt, services as in
adb/SERVICES.TXT and adb/SYNC.TXT; no authentication.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

VERSION, MAX_DATA = 0x01000000, 65536
CNXN, OPEN, OKAY, CLSE, WRTE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
STDOUT, STDERR, EXIT = 1, 2, 3


class Cut(Exception):
    """The connection is gone."""


class Adbd:
    """Serves one connection after another, until it is closed.

    Args:
        programs: a folder put in front of PATH.
        features: as in the banner; without shell_v2 both streams are one and exit codes are lost.
    """

    def __init__(self, programs: Path, features: str = "shell_v2") -> None:
        self.programs, self.features = programs, features
        self.cut_after: int | None = None
        """Bytes of pushed files after which the connection breaks, once."""
        self.full_after: int | None = None
        """Bytes of pushed files after which the device is full."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._running: set[subprocess.Popen[bytes]] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Break every connection, and end what runs."""
        for peer in list(self._open):
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for process in list(self._running):
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers are small
                self._open.add(peer)
                threading.Thread(target=self._connection, args=(peer,), daemon=True).start()

    def _connection(self, peer: socket.socket) -> None:
        connection = Connection(peer)
        streams: dict[int, Stream] = {}
        with suppress(Cut, OSError), peer:
            while True:
                command, first, second, data = connection.receive()
                if command == CNXN:
                    banner = f"device::ro.product.model=Test;features={self.features}".encode()
                    connection.send(CNXN, VERSION, MAX_DATA, banner)
                elif command == OPEN:
                    stream = streams[len(streams) + 1] = Stream(connection, len(streams) + 1, first)
                    service = data.rstrip(b"\0").decode()
                    threading.Thread(target=self._service, args=(stream, service)).start()
                elif second in streams:
                    streams[second].messages.put((command, data))
        for stream in streams.values():
            stream.messages.put((CLSE, b""))
        self._open.discard(peer)

    def _service(self, stream: Stream, service: str) -> None:
        kind, _, command = service.partition(":")
        with suppress(Cut, OSError):
            if kind == "sync":
                stream.accept()
                Sync(self, stream).serve()
            elif kind.split(",")[0] == "shell":
                stream.accept()
                self._shell(stream, command, "v2" in kind.split(","))
            stream.connection.send(CLSE, stream.own, stream.other)

    def _shell(self, stream: Stream, command: str, v2: bool) -> None:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if v2 else subprocess.STDOUT,
            env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"},
            start_new_session=True,
        )
        self._running.add(process)

        def forward(pipe: Any, kind: int) -> None:
            with suppress(Cut, OSError):
                while chunk := os.read(pipe.fileno(), 16384):
                    # The pseudo-terminal of the old protocol ends lines with \r\n.
                    stream.write(_packet(kind, chunk) if v2 else chunk.replace(b"\n", b"\r\n"))

        pipes = {STDOUT: process.stdout, STDERR: process.stderr}
        threads = [
            threading.Thread(target=forward, args=(pipe, kind))
            for kind, pipe in pipes.items()
            if pipe
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code = process.wait()
        self._running.discard(process)
        if v2:
            stream.write(_packet(EXIT, bytes([code % 256])))


def _packet(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


class Connection:
    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.lock = threading.Lock()

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        head = (command, first, second, len(data), sum(data), command ^ 0xFFFFFFFF)
        with self.lock:
            self.peer.sendall(struct.pack("<6I", *head) + data)

    def receive(self) -> tuple[int, int, int, bytes]:
        command, first, second, length, _, _ = struct.unpack("<6I", self._exactly(24))
        return command, first, second, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.peer.recv(count - len(data))
            if not chunk:
                raise Cut
            data += chunk
        return data


class Stream:
    """One service of a connection. Each side waits for OKAY after each WRTE."""

    def __init__(self, connection: Connection, own: int, other: int) -> None:
        self.connection, self.own, self.other = connection, own, other
        self.messages: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.read = b""
        self.writing = threading.Lock()
        self.ready = threading.Semaphore(0)

    def accept(self) -> None:
        self.connection.send(OKAY, self.own, self.other)

    def write(self, data: bytes) -> None:
        with self.writing:
            for start in range(0, len(data), MAX_DATA):
                part = data[start : start + MAX_DATA]
                self.connection.send(WRTE, self.own, self.other, part)
                while not self._next(OKAY):
                    pass

    def exactly(self, count: int) -> bytes:
        while len(self.read) < count:
            self._next(WRTE)
        data, self.read = self.read[:count], self.read[count:]
        return data

    def _next(self, wanted: int) -> bool:
        command, data = self.messages.get()
        if command == CLSE:
            raise Cut
        if command == WRTE:
            self.read += data
            self.connection.send(OKAY, self.own, self.other)
        return command == wanted


class Sync:
    """The `sync:` service, version 1: STAT, SEND, RECV, LIST, QUIT."""

    def __init__(self, device: Adbd, stream: Stream) -> None:
        self.device, self.stream = device, stream

    def serve(self) -> None:
        while True:
            request, length = struct.unpack("<4sI", self.stream.exactly(8))
            path = self.stream.exactly(length).decode()
            if request == b"QUIT":
                return
            try:
                {b"STAT": self.stat, b"SEND": self.send, b"RECV": self.receive, b"LIST": self.list}[
                    request
                ](path)
            except OSError as error:
                words = (error.strerror or "error").encode()
                self.stream.write(struct.pack("<4sI", b"FAIL", len(words)) + words)

    def stat(self, path: str) -> None:
        try:
            found = os.lstat(path)
            fields = (found.st_mode, found.st_size, int(found.st_mtime))
        except OSError:
            fields = (0, 0, 0)
        self.stream.write(struct.pack("<4s3I", b"STAT", *fields))

    def send(self, target: str) -> None:
        path, _, mode = target.rpartition(",")
        error: OSError | None = None
        received = 0
        try:
            out = open(path, "wb")  # noqa: SIM115 - closed below, whatever the sender does
        except OSError as refused:
            error, out = refused, open(os.devnull, "wb")  # noqa: SIM115
        with out:
            while True:
                kind, length = struct.unpack("<4sI", self.stream.exactly(8))
                if kind == b"DONE":
                    break
                out.write(self.stream.exactly(length))
                received += length
                limit = self.device.cut_after
                if limit is not None and received >= limit:
                    self.device.cut_after = None
                    self.device.drop()
                    raise Cut
                if self.device.full_after is not None and received > self.device.full_after:
                    error = OSError(28, "No space left on device")
        if error:
            raise error
        os.chmod(path, stat.S_IMODE(int(mode)))
        self.stream.write(struct.pack("<4sI", b"OKAY", 0))

    def receive(self, path: str) -> None:
        with open(path, "rb") as source:
            while chunk := source.read(MAX_DATA):
                self.stream.write(struct.pack("<4sI", b"DATA", len(chunk)) + chunk)
        self.stream.write(struct.pack("<4sI", b"DONE", 0))

    def list(self, path: str) -> None:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            found, name = entry.stat(follow_symlinks=False), os.fsencode(entry.name)
            fields = (found.st_mode, found.st_size, int(found.st_mtime), len(name))
            self.stream.write(struct.pack("<4s4I", b"DENT", *fields) + name)
        self.stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))


@contextmanager
def adb_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An adb server of the test's own: its socket and its keys are nobody else's."""
    if shutil.which("adb") is None:
        pytest.skip("needs the program adb (Debian: apt-get install adb)")
    monkeypatch.setenv("HOME", str(folder))
    with TemporaryDirectory() as short:  # the path of a socket has 108 bytes at most
        # A port that is free now may be another test's once the server starts.
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{short}/adb")
        try:
            yield
        finally:
            subprocess.run(["adb", "kill-server"], capture_output=True, timeout=30)


@contextmanager
def phone(folder: Path, features: str = "shell_v2") -> Iterator[Adbd]:
    """A device that `adb` is connected to; programs it has lie in <folder>/programs."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    device = Adbd(programs, features)
    try:
        subprocess.run(["adb", "connect", device.serial], check=True, capture_output=True)
        subprocess.run(["adb", "-s", device.serial, "wait-for-device"], check=True, timeout=30)
        yield device
    finally:
        device.close()


def add_program(device: Adbd, name: str, script: str) -> Path:
    """Give the device a program, e.g. getprop: a script with its #! line."""
    path = device.programs / name
    path.write_text(script)
    path.chmod(0o755)
    return path
