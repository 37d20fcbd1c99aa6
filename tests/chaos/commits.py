"""Watches the commits of a pipeline from outside: the published marks in its chains, as the NameNode lists them.

A mark `<sequence>.<record id>.published` is created after the last file of a record is where readers look, so its time is
when a commit has become visible. Fences have none. The watcher polls in a thread of its own; while HDFS does not
answer it sees nothing, and catches up later, because the times are the NameNode's.
"""

import threading

INTERVAL_SECONDS = 0.25


class Commits:
    """The times (seconds since 1970) of all commits seen so far, by topic partition."""

    def __init__(self, hdfs, directory):
        self.hdfs = hdfs
        self.directory = directory
        self.times = {}
        self.last = {}
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.over.set()
        self.thread.join(30)

    def watch(self):
        while not self.over.wait(INTERVAL_SECONDS):
            try:
                self.look()
            except (OSError, ValueError, KeyError):
                continue

    def look(self):
        for entry in self.hdfs.list(self.directory):
            name = entry["pathSuffix"]
            directory = f"{self.directory}/{name}"
            # Of two names with one number the mark comes before the record; a listing from the last mark on misses none.
            for found in self.hdfs.list(directory, self.last.get(name)):
                if found["pathSuffix"].endswith(".published"):
                    with self.lock:
                        self.times.setdefault(int(name), []).append(found["modificationTime"] / 1000)
                    self.last[name] = found["pathSuffix"]

    def first_after(self, at):
        """Of each topic partition: when the first commit after `at` came; None where none has come yet."""
        with self.lock:
            return {number: next((time for time in times if time > at), None) for number, times in self.times.items()}

    def all_after(self, at, topic_partitions):
        """When the last of the first `topic_partitions` topic partitions had its next commit after `at`; None: not yet."""
        found = self.first_after(at)
        times = [found.get(number) for number in range(topic_partitions)]
        return None if None in times else max(times)

    def count(self):
        with self.lock:
            return sum(map(len, self.times.values()))
