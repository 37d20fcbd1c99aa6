"""Watches hosts while storage is silent: what they hold in memory, and whether they keep their place in the group.

A host may hold what it holds anyway plus its budget for open files, however long storage says nothing; and silent storage is no
reason for the group to move a topic partition. Seen from outside: /proc and the lines of the hosts' logs.
"""

import time

import hosts as processes

# What a host logs when its share changes.
MOVES = ("topic partitions assigned", "topic partitions revoked", "topic partitions lost")
QUIET_SECONDS = 6
QUIET_WITHIN_SECONDS = 60
SAMPLE_SECONDS = 0.25


def resident_mb(host):
    """Resident memory of a host; None when it is gone."""
    try:
        with open(f"/proc/{host.child.pid}/status", encoding="utf-8") as status:
            found = [line.split()[1] for line in status if line.startswith("VmRSS:")]
    except OSError:
        return None
    return int(found[0]) / 1024 if found else None


def moves(host):
    """How often the group has changed the share of a host."""
    text = host.log.read_text(errors="replace")
    return sum(text.count(line) for line in MOVES)


class Watch:
    """Some hosts from now on until `verdict`: call `look` all the while."""

    def __init__(self, hosts):
        """Waits until the group has settled; only then can a move be blamed on what happens next."""
        self.hosts = list(hosts)
        self.before = {}
        self.most = {}
        give_up = time.monotonic() + QUIET_WITHIN_SECONDS
        quiet_since, seen = time.monotonic(), None
        self.has_settled = True
        while time.monotonic() < quiet_since + QUIET_SECONDS:
            if (now := [moves(host) for host in self.hosts]) != seen:
                quiet_since, seen, self.before = time.monotonic(), now, {}
            if time.monotonic() > give_up:
                self.has_settled = False
                break
            self.sample(self.before, min)
            time.sleep(SAMPLE_SECONDS)
        self.moves = seen

    def sample(self, found, better):
        for host in self.hosts:
            if (size := resident_mb(host)) is not None:
                found[host.name] = better(size, found.get(host.name, size))

    def look(self):
        self.sample(self.most, max)

    def go_on(self, seconds):
        """Lets time pass, and looks at the hosts all the while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            time.sleep(SAMPLE_SECONDS)

    def verdict(self):
        """(what must not have been, what was seen)."""
        failures, notes = [], []
        if not self.has_settled:
            notes.append(f"the group did not settle within {QUIET_WITHIN_SECONDS} s, so that its moves were not judged")
        for host, before in zip(self.hosts, self.moves):
            base, most = self.before.get(host.name), self.most.get(host.name)
            if base is None or most is None:
                failures.append(f"{host.name} was not there to be measured")
                continue
            notes.append(f"{host.name} held {base:.0f} MB before and at most {most:.0f} MB while storage was silent")
            if most > base + processes.MEMORY_BUDGET_MB:
                failures.append(f"{notes[-1]}: more than its budget of {processes.MEMORY_BUDGET_MB} MB on top")
            if self.has_settled and (now := moves(host)) != before:
                failures.append(f"{host.name} did not keep its share of the group: it changed {now - before} times")
        return failures, notes
