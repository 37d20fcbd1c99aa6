"""Processes by identity: start, look, signal, end. Linux only.

Purpose: a pid alone may by now name a stranger, so a process is (pid, start time in clock ticks since boot).
Guarantee: no signal ever goes to a process that this program did not start. Knows nothing of Kafka or HDFS.
"""

import ctypes
import os
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)


def checked(command):
    """Runs a tool to its end; an error carries its output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}): {' '.join(command[-8:])}\n{done.stdout}")


def stat_fields(pid):
    """The fields of /proc/PID/stat after the name, or None when there is no such process. [0] is the state."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_ticks(pid):
    """When the process started, in ticks since boot; None when it is gone."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def alive(pid, ticks):
    """True while exactly this process runs (a stopped one does, a zombie does not)."""
    fields = stat_fields(pid)
    if not fields or int(fields[19]) != ticks:
        return False
    # A zombie whose other threads are still ending holds its files and ports yet.
    if fields[0] not in "ZX" or int(fields[17]) > 1:
        return True
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except OSError:
        return False  # not a child of ours: somebody else collects it


def send(pid, ticks, number):
    """Sends a signal if exactly this process still runs; tells whether it did."""
    if not alive(pid, ticks):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_gone(pid, ticks, seconds):
    """Waits for the end of a process; False when it still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    while alive(pid, ticks):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def spawn(command, log, cwd, die_with_parent):
    """Starts a server in a session of its own (a Ctrl-C on the terminal is not for it); returns (pid, ticks).

    `die_with_parent`: the kernel kills it when the calling thread ends, so call from the main thread only.
    """

    def before_exec():
        if die_with_parent:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    with open(log, "ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=before_exec,
        )
    # The pid is what we keep; the object would only complain that nobody waited.
    child.returncode = 0
    return child.pid, start_ticks(child.pid)


def adopt_orphans():
    """Makes this process the parent of every descendant whose own parent ends."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children():
    """(pid, ticks) of the children of this process, zombies too."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := stat_fields(int(name))):
            if int(fields[1]) == os.getpid():
                found.append((int(name), int(fields[19])))
    return found


def kill_descendants():
    """Kills all children, then what their deaths hand over to us (see `adopt_orphans`), until none is left."""
    while found := children():
        for pid, ticks in found:
            send(pid, ticks, signal.SIGKILL)
        for pid, ticks in found:
            wait_gone(pid, ticks, 5)
