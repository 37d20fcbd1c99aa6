"""`run`: servers up, a command, servers down, whatever happens.

Guarantee: when `run` returns, by success, failure, SIGINT, SIGTERM or SIGHUP, no process that it or its command started
is left, and the directory is gone. After SIGKILL the kernel kills the servers and the command itself.
"""

import os
import signal
import subprocess
import sys

import process
import state

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Long enough for a pipeline to finish its checkpoint; a second signal does not wait.
GRACE_SECONDS = 30


class Interrupted(Exception):
    """One of `ENDING` has arrived."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


def interrupt(number, _frame):
    raise Interrupted(number)


def run(options, command):
    """Returns the command's exit code, or 128 + the signal's number."""
    if not command:
        raise state.ClusterError("run needs a command: cluster.py run -- COMMAND ...")
    for number in ENDING:
        signal.signal(number, interrupt)
    process.adopt_orphans()
    cluster = state.Cluster(options.dir or state.run_directory())
    if cluster.file.exists():
        raise state.ClusterError(f"{cluster.directory} holds a cluster already: take another directory")
    cluster.die_with_parent = True
    try:
        with cluster.locked():
            cluster.up(options)
        return guarded(command, {**os.environ, **cluster.environment()})
    except Interrupted as interrupted:
        print(f"cluster.py: ended by {interrupted}", file=sys.stderr)
        return 128 + interrupted.number
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        # A fault test may have changed the file since.
        cluster.load()
        cluster.down(keep=False)
        process.kill_descendants()


def guarded(command, environment):
    """Runs the command in a session of its own, so that it and all that it starts can be told to end together."""
    parent = os.getpid()

    def before_exec():
        process.LIBC.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    try:
        child = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=before_exec)
    except OSError as error:
        raise state.ClusterError(f"cannot run {command[0]}: {error}")
    try:
        code = child.wait()
        return 128 - code if code < 0 else code
    except Interrupted as interrupted:
        end_group(child, interrupted.number)
        raise


def end_group(child, number):
    """Hands the signal on to the command's whole group; kills it after the grace, or at the next signal."""
    try:
        os.killpg(child.pid, number)
        child.wait(GRACE_SECONDS)
    except (ProcessLookupError, subprocess.TimeoutExpired, Interrupted):
        pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
