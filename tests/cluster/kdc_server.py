"""One real Kerberos KDC (MIT's krb5kdc, Debian's package), without root and beside whatever the machine has in /etc.

Its database, keytabs and `krb5.conf` lie under the cluster's directory. Principals: those of the servers, `hdfs` (the superuser) and
`wasmill`, whose tickets live as short as asked. Ready means that it gives a ticket to who asks with a keytab.
"""

import os
import shutil
import subprocess

from process import checked

REALM = "WASMILL.TEST"
USER = "wasmill"
# Each with a keytab of its own, KEYTABS/NAME.keytab.
SERVERS = {"kafka": "kafka/localhost", "hdfs": "hdfs/localhost", "http": "HTTP/localhost"}

# Clocks are one here. By default a ticket is good for five minutes more than it says, and a test of renewal would prove nothing.
SKEW_SECONDS = 5

KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_realm = false
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    clockskew = {skew}
    default_ccache_name = FILE:{dir}/ccache
    permitted_enctypes = aes256-cts-hmac-sha1-96
[realms]
    {realm} = {{
        kdc = localhost:{port}
    }}
[domain_realm]
    localhost = {realm}
"""

KDC_CONF = """\
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {dir}/principal
        key_stash_file = {dir}/stash
        acl_file = {dir}/kadm5.acl
        max_life = 1h
        max_renewable_life = 0s
        supported_enctypes = aes256-cts-hmac-sha1-96:normal
    }}
[logging]
    kdc = STDERR
"""


def tool(name):
    """A program of Kerberos. Those of the KDC lie where only root's PATH leads."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError(f"{name} was not found: Debian's krb5-kdc, krb5-admin-server and krb5-user have it")
    return found


def environment(directory):
    """The variables that make a program use this Kerberos instead of the machine's."""
    return {"KRB5_CONFIG": f"{directory}/krb5.conf", "KRB5_KDC_PROFILE": f"{directory}/kdc.conf"}


def with_environment(directory, command):
    """`command` with those variables: a command again."""
    variables = [f"{name}={value}" for name, value in environment(directory).items()]
    return ["env", *variables, *map(str, command)]


def server_command(directory):
    return with_environment(directory, [tool("krb5kdc"), "-n"])


def keytab(directory, name):
    return directory / f"{name}.keytab"


def prepare(directory, port, ticket_seconds):
    """Makes the database, the principals and their keytabs. Tickets of `wasmill` live for `ticket_seconds`."""
    directory.mkdir(parents=True)
    values = {"realm": REALM, "dir": directory, "port": port, "skew": SKEW_SECONDS}
    (directory / "krb5.conf").write_text(KRB5_CONF.format(**values))
    (directory / "kdc.conf").write_text(KDC_CONF.format(**values))
    (directory / "kadm5.acl").touch()
    checked(with_environment(directory, [tool("kdb5_util"), "create", "-s", "-r", REALM, "-P", "no-secret-here"]))
    for name, principal in SERVERS.items():
        add_principal(directory, name, principal)
    add_principal(directory, USER, USER, "-maxlife", f"{ticket_seconds} seconds")


def add_principal(directory, name, principal, *options):
    local = [tool("kadmin.local"), "-r", REALM]
    checked(with_environment(directory, [*local, "addprinc", "-randkey", *options, principal]))
    checked(with_environment(directory, [*local, "ktadd", "-q", "-k", keytab(directory, name), principal]))
    # kadmin.local does not always say by its exit code that it failed.
    if not keytab(directory, name).exists():
        raise RuntimeError(f"kadmin.local made no keytab for {principal}")


def ready(directory):
    """True when the KDC gives a ticket."""
    command = [tool("kinit"), "-c", "MEMORY:", "-k", "-t", keytab(directory, USER), USER]
    done = subprocess.run(with_environment(directory, command), stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    return done.returncode == 0
