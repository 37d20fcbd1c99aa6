"""What cluster.py promises without its servers: only its own processes are touched, and nothing is left behind.

    python3 -m unittest discover -s tests/cluster
"""

import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import cluster
import process
import state

# `run` with servers that are nothing, so that a test takes a blink.
BARE_RUN = """
import sys, types
sys.path.insert(0, {here!r})
import runner, state
state.Cluster.up = lambda self, options: self.save()
sys.exit(runner.run(types.SimpleNamespace(dir=None), {command!r}))
"""


def bare_run(command, **options):
    """`cluster.py run -- COMMAND` without servers, in a temporary directory of its own."""
    text = BARE_RUN.format(here=str(Path(__file__).parent), command=command)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **options)


class Processes(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.log = Path(self.place.name) / "log"
        self.addCleanup(self.place.cleanup)

    def spawn(self):
        return process.spawn(["sleep", "60"], self.log, self.place.name, die_with_parent=True)

    def test_a_killed_process_is_gone_and_no_zombie(self):
        pid, ticks = self.spawn()
        self.assertTrue(process.alive(pid, ticks))
        self.assertTrue(process.send(pid, ticks, signal.SIGKILL))
        self.assertTrue(process.wait_gone(pid, ticks, 10))
        self.assertIsNone(process.stat_fields(pid))

    def test_a_stranger_with_the_same_pid_gets_no_signal(self):
        pid, ticks = self.spawn()
        self.assertFalse(process.send(pid, ticks - 1, signal.SIGKILL))
        self.assertTrue(process.alive(pid, ticks))
        process.send(pid, ticks, signal.SIGKILL)
        process.wait_gone(pid, ticks, 10)

    def test_a_stopped_process_is_alive(self):
        pid, ticks = self.spawn()
        process.send(pid, ticks, signal.SIGSTOP)
        self.assertTrue(process.alive(pid, ticks))
        process.send(pid, ticks, signal.SIGKILL)
        self.assertTrue(process.wait_gone(pid, ticks, 10))


class Runs(unittest.TestCase):
    def remains(self, run):
        """Directories that this `run` left."""
        return list(Path(tempfile.gettempdir()).glob(f"{state.MARKER}-run-{run.pid}-*"))

    def test_the_exit_code_is_the_commands(self):
        run = bare_run(["sh", "-c", "echo $WASMILL_TEST_CLUSTER; exit 7"])
        self.assertIn("cluster.json", run.communicate()[0])
        self.assertEqual(run.returncode, 7)
        self.assertEqual(self.remains(run), [])

    def test_a_signal_ends_command_and_runaways(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # One child in a session of its own: it outlives a signal to the group, but not `run`.
            run = bare_run(["sh", "-c", "setsid sleep 61 & echo $!; echo up; wait"])
            runaway = int(run.stdout.readline())
            self.assertEqual(run.stdout.readline(), "up\n")
            run.send_signal(number)
            run.communicate()
            self.assertEqual(run.returncode, 128 + number)
            self.assertIsNone(process.stat_fields(runaway))
            self.assertEqual(self.remains(run), [])

    def test_a_killed_run_takes_its_command_along_and_is_known_as_abandoned(self):
        run = bare_run(["sh", "-c", "echo $$; exec sleep 62"])
        command = int(run.stdout.readline())
        run.kill()
        run.communicate()
        deadline = time.monotonic() + 10
        while (process.stat_fields(command) or ["Z"])[0] != "Z" and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertIn((process.stat_fields(command) or ["Z"])[0], "Z")
        (left,) = self.remains(run)
        self.assertIn(left, state.abandoned())
        state.Cluster(left).down(keep=False)
        self.assertEqual(self.remains(run), [])


class Ports(unittest.TestCase):
    def test_given_ports_are_kept_and_chosen_ones_differ(self):
        found = state.free_ports(["a.x", "a.y", "b.x"], {"a.y": 9092})
        self.assertEqual(found["a.y"], 9092)
        self.assertEqual(len(set(found.values())), 3)

    def test_a_chosen_port_can_be_bound(self):
        port = state.free_ports(["a.x"], {})["a.x"]
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))

    def test_ports_by_server(self):
        self.assertEqual(state.part_of({"a.x": 1, "b.x": 2, "a.y": 3}, "a"), {"x": 1, "y": 3})

    def test_a_port_list_says_how_it_is_written(self):
        self.assertEqual(cluster.port_list("kafka.plaintext=9092,namenode.rpc=9000")["namenode.rpc"], 9000)
        with self.assertRaises(cluster.argparse.ArgumentTypeError):
            cluster.port_list("9092")


if __name__ == "__main__":
    unittest.main()
