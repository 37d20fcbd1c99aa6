"""A job under measurement: CPU ticks and peak memory, read from /proc at marks that the job gives.

Protocol: the job prints a line `READY PID` once it has started up and before it does any work, waits for a line on its
standard input, works, prints `DONE`, and waits for another line before it ends. So a JVM's start-up is told apart
from its work. Knows nothing of what the job does.
"""

import os
import subprocess
import threading
import time

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class JobFailed(Exception):
    """The job ended without its marks; the text has the end of its log."""


def cpu_seconds(pid):
    """User and system time of a process, threads and collected children included."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_A_SECOND


def peak_memory_bytes(pid):
    """The largest resident set that the process has had."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def tail(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-40:])


def run_marked(command, environment, log, timeout_seconds):
    """Runs a job that keeps the protocol; returns its figures."""
    with open(log, "wb") as errors:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    watchdog = threading.Timer(timeout_seconds, child.kill)
    watchdog.start()
    try:
        pid = int(expect(child, "READY", log).split()[1])
        start_up = cpu_seconds(pid)
        began = time.monotonic()
        go_on(child)
        expect(child, "DONE", log)
        wall = time.monotonic() - began
        cpu, peak = cpu_seconds(pid) - start_up, peak_memory_bytes(pid)
        go_on(child)
        child.wait()
    finally:
        watchdog.cancel()
        child.kill()
        child.wait()
    return {"cpu_seconds": cpu, "wall_seconds": wall, "peak_bytes": peak, "start_up_cpu_seconds": start_up}


def expect(child, word, log):
    """The next line that begins with `word`; a job's other output is passed over."""
    for line in child.stdout:
        if line.startswith(word):
            return line
    raise JobFailed(f"the job ended before {word}. The end of {log}:\n{tail(log)}")


def go_on(child):
    child.stdin.write("\n")
    child.stdin.flush()


def run_whole(command, environment, log, timeout_seconds):
    """Runs a job whose start-up counts as work; returns its figures and its standard output."""
    began = time.monotonic()
    with open(log, "wb") as errors:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    watchdog = threading.Timer(timeout_seconds, child.kill)
    watchdog.start()
    try:
        output = child.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        watchdog.cancel()
        if child.returncode is None:
            child.kill()
            child.wait()
    if child.returncode != 0:
        raise JobFailed(f"{command[0]} failed ({child.returncode}). The end of {log}:\n{tail(log)}")
    figures = {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "wall_seconds": time.monotonic() - began,
        "peak_bytes": usage.ru_maxrss * 1024,
        "start_up_cpu_seconds": 0.0,
    }
    return figures, output
