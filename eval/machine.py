"""What the scripts beside this one say about where they ran."""

import contextlib
import os
import platform
import subprocess
from pathlib import Path


def machine() -> str:
    """The processor, its threads, and the commit of the code."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next((line.split(": ")[1] for line in lines if "model name" in line), name)
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    commit = f", commit {done.stdout.strip()}" if done.returncode == 0 else ""
    return f"{name}, {os.cpu_count()} threads{commit}"
