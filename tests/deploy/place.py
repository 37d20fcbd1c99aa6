"""Where the things that are tested lie, and commands that have to succeed."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "host" / "deploy"
MONITORING = DEPLOY / "monitoring"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "wasmill.json"
WASMILL = Path(os.environ.get("WASMILL") or ROOT / "target/release/wasmill").resolve()
TRANSFORMS = Path(os.environ.get("WASMILL_TRANSFORMS") or ROOT / "target/transforms").resolve()


def run(*command, **options):
    """The standard output of a command; one that fails fails the test with all that it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, **options)
    if done.returncode != 0:
        words = " ".join(map(str, command))
        raise AssertionError(f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def tool(name):
    """A command of the Python environment (tests/python/requirements.txt), else of the machine (tests/cluster/system.sh)."""
    beside = Path(sys.executable).with_name(name)
    if beside.exists():
        return beside
    if found := shutil.which(name):
        return Path(found)
    raise AssertionError(f"{name} was not found: `make setup servers` installs it")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
