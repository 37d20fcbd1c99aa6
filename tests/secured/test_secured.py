"""Pipelines on a Kafka and an HDFS that ask who is there: by Kerberos from a keytab, for longer than tickets live, and by SCRAM.

    tests/cluster/cluster.py run --kerberos --ticket-seconds 20 -- PYTHON -m unittest discover -s tests/secured

All servers are real: MIT's KDC, a Kafka whose SASL_SSL listener takes SCRAM-SHA-512 and GSSAPI and wants a new ticket every 15 s, an HDFS
that takes nobody without a ticket and encrypts all it says. What a table holds is counted by an independent reader.
"""

import json
import tempfile
import unittest
from pathlib import Path

from clients import WASMILL, Host, Job, Superuser, cluster, environment, is_good, keytab, run, server, ticket, wait_until

TLS = {"security.protocol": "SASL_SSL", "ssl.ca.location": server("WASMILL_TEST_KAFKA_CA")}
BY_TICKET = {**TLS, "sasl.mechanism": "GSSAPI"}
BY_PASSWORD = {
    **TLS,
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": server("WASMILL_TEST_KAFKA_USER"),
    "sasl.password": server("WASMILL_TEST_KAFKA_PASSWORD"),
}
# How many tickets a host must have had, one after the other, before the test goes on.
TICKETS = 4
# What the library says, as the host logs it, when there is no KDC to ask.
AWAY = ("Cannot contact any KDC", "Ticket expired")


class Secured(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.directory = Path(temporary.name)
        cls.superuser = Superuser(cls.directory)
        cls.superuser("-mkdir", "-p", "/user/wasmill")
        cls.superuser("-chown", "wasmill", "/user/wasmill")

    def job(self, name, options):
        return Job(name, self.directory, options)

    def client(self, name, client_keytab=keytab("wasmill"), **changed):
        return environment(self.directory / f"{name}.cache", client_keytab, **changed)

    def assert_all_is_there(self, job, env):
        """Nothing lost, doubled or changed: as `verify` says, and as another reader counts."""
        job.wasmill("run", "--until", "caught-up", env=env)
        job.wasmill("verify", env=env)
        counted = job.check(self.superuser)
        self.assertEqual([counted[key] for key in ("lost", "doubled", "unaccounted", "problems")], [0, 0, 0, 0])
        self.assertEqual(counted["table"] + counted["filtered"] + counted["dead_letters"], job.events)
        self.assertGreater(counted["table"], 0.8 * job.events)

    def test_a_host_outlives_its_tickets(self):
        job = self.job("from_keytab", BY_TICKET)
        cache = self.directory / "host.cache"
        # An operator beside it, with tickets of its own.
        operator = self.client("operator")
        job.produce(1000)
        host = Host(job, self.client("host"), "host")
        self.addCleanup(host.process.kill)
        # Its tickets are in its memory only.
        second = Host(job, self.client("second", KRB5CCNAME="MEMORY:second"), "second")
        self.addCleanup(second.process.kill)

        def is_caught_up():
            host.is_running() and second.is_running()
            told = json.loads(job.wasmill("offsets", "show", "--json", env=operator))
            lags = [position["lag"] for position in told["topic_partitions"]]
            # What ends a transaction is no message, but counts.
            return len(lags) == 4 and all(lag is not None and lag <= 1 for lag in lags)

        seen = set()

        def had_its_tickets():
            host.is_running()
            job.produce(500)
            seen.add(ticket(cache))
            return len(seen - {None}) >= TICKETS

        wait_until(f"{TICKETS} tickets", had_its_tickets)
        wait_until("caught up on renewed tickets", is_caught_up)

        # Another connection to the NameNode, with a ticket that was not there when the host started.
        cluster("kill", "namenode")
        job.produce(500)
        cluster("start", "namenode")
        wait_until("caught up behind a restarted NameNode", is_caught_up)

        # A KDC that is away for longer than a ticket lives.
        cluster("kill", "kdc")
        job.produce(500)
        wait_until("the ticket has expired", lambda: host.is_running() and not is_good(cache))
        wait_until("the host says why", lambda: host.is_running() and any(words in host.told() for words in AWAY))
        cluster("start", "kdc")
        job.produce(500)
        wait_until("caught up behind a KDC that came back", is_caught_up)

        host.end()
        second.end()
        self.assert_all_is_there(job, operator)

    def test_by_password_and_ticket(self):
        """Kafka by SCRAM over TLS; a secured HDFS has no other way in than a ticket."""
        job = self.job("by_password", BY_PASSWORD)
        job.produce(2000)
        self.assert_all_is_there(job, self.client("by_password"))

    def test_the_simulator_sends_by_ticket(self):
        cluster("topic", "create", "simulated", "--partitions", "2")
        words = ["--brokers", server("WASMILL_TEST_KAFKA_SASL_SSL"), "--as-topic", "simulated", "--events", 500]
        options = [word for name, value in BY_TICKET.items() for word in ("--option", f"{name}={value}")]
        # It ends well only when the broker has all of them.
        run(WASMILL, "eventsim", *words, *options, env=self.client("simulator"))

    def test_who_has_no_ticket_is_told_what_to_do(self):
        job = self.job("no_ticket", BY_TICKET)
        told = job.wasmill("check", env=self.client("nobody", None), wanted=1)
        self.assertEqual(told.count("set KRB5_CLIENT_KTNAME"), 4, told)  # source, table, dead letters, checkpoints

    def test_an_expired_ticket_is_called_that(self):
        job = self.job("expired", BY_TICKET)
        cache = self.directory / "expired.cache"
        env = self.client("expired", None)
        run("kinit", "-k", "-t", keytab("wasmill"), "wasmill", env=env)
        job.wasmill("check", env=env)
        wait_until("expired", lambda: not is_good(cache))
        told = job.wasmill("check", env=env, wanted=1)
        self.assertIn("the Kerberos ticket has expired", told)

    def test_a_keytab_that_is_not_there_is_named(self):
        job = self.job("no_keytab", BY_TICKET)
        told = job.wasmill("check", env=self.client("no_keytab", self.directory / "none"), wanted=1)
        self.assertIn("KRB5_CLIENT_KTNAME", told)

    def test_without_hadoops_configuration_it_is_asked_for(self):
        job = self.job("no_conf", BY_TICKET)
        told = job.wasmill("check", env=self.client("no_conf", HADOOP_CONF_DIR=None), wanted=1)
        self.assertIn("HADOOP_CONF_DIR", told)


if __name__ == "__main__":
    unittest.main()
