"""Programs that serve a page: started, awaited, and ended with all that they started.

What a program says goes to a log in the home, so that the terminal shows the one line that counts.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from musicflow.cli.console import FAILED, INTERRUPTED, say, stop
from musicflow.settings import Settings

HOST = "localhost"

_POLL_S = 0.2
_GRACE_S = 1.5
"""The time that programs have to end by themselves."""

_TAIL = 4000
"""The bytes at the end of a log in which the reason of a failure is looked for."""


@dataclass(frozen=True)
class Page:
    """A program that serves a page.

    Parameters
    ----------
    name
        Its name, for people.
    module
        The module that is run: its file has another name on each system.
    arguments
        What it is given.
    port
        The port that it serves on.
    path
        The part of the page's address after the port.
    """

    name: str
    module: str
    arguments: Sequence[str]
    port: int
    path: str = ""

    @property
    def address(self) -> str:
        """The address of the program."""
        return f"http://{HOST}:{self.port}"


def refuse_taken(port: int) -> None:
    """End the command with a sentence if a port cannot be listened on."""
    try:
        with socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OverflowError:
        stop(f"there is no port {port}: give one from 1 to 65535", FAILED)
    except OSError as error:
        stop(
            f"port {port} cannot be used ({error.strerror}): end what uses it, or give another "
            "with --port",
            FAILED,
        )


def serve(page: Page, settings: Settings, verbose: bool) -> NoReturn:
    """Run a program until it ends or is interrupted, and exit.

    Parameters
    ----------
    page
        The program. Its port was found free by `refuse_taken`.
    settings
        Say which home it works on.
    verbose
        Whether to show what it says, rather than to keep it in the home's log.
    """
    log = settings.paths.error_log.with_name(f"{page.name.lower()}.log")
    with ExitStack() as open_files:
        output = None
        if not verbose:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = open_files.enter_context(log.open("wb"))
        # The safe path (-P) keeps files of the current folder from standing in for modules.
        program = subprocess.Popen(
            [sys.executable, "-P", "-m", page.module, *page.arguments],
            env=os.environ
            | {
                "MUSICFLOW_HOME": str(settings.home),
                "DAGSTER_HOME": str(settings.paths.dagster),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        # A service manager ends a program by this signal, a closed terminal by the other.
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _interrupt)
        try:
            if _answers(page, program):
                say(f"{page.name}: open {page.address}{page.path}")
            code = program.wait()
        except KeyboardInterrupt:
            code = INTERRUPTED
        finally:
            _end(program)
    if code not in (0, INTERRUPTED):
        kept = "" if verbose else f"; its log is {log}: {_last_line(log)}"
        stop(f"{page.name} ended with code {code}{kept}", FAILED)
    raise SystemExit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _answers(page: Page, program: "subprocess.Popen[bytes]") -> bool:
    """Wait until a program answers; return False if it ends before."""
    while program.poll() is None:
        try:
            urllib.request.urlopen(page.address, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(_POLL_S)
        else:
            return True
    return False


def _end(program: "subprocess.Popen[bytes]") -> None:
    """End a program and all that it started, at once where they do not end by themselves."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(program.pid)
        family = [first, *first.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, _GRACE_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    program.wait()


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it is empty")
