"""One real schema registry with Confluent's API: Apicurio, which keeps its schemas in memory.

Ready means that it lists its subjects.
"""

import urllib.request

import artifacts

# Below the server's address: a registry's URL may carry a path.
PATH = "/apis/ccompat/v7"


def server_command(port, heap):
    """The command that runs the registry."""
    (program,) = artifacts.registry().rglob("apicurio-registry-app-*-runner.jar")
    options = [f"-Xmx{heap}", f"-Dquarkus.http.port={port}", "-Dquarkus.http.host=127.0.0.1"]
    return ["java", *options, "-cp", f"{program}:{program.parent}/lib/*", "io.quarkus.runner.GeneratedMain"]


def url(port):
    """As clients of Confluent's API want it."""
    return f"http://localhost:{port}{PATH}"


def ready(port):
    """True when it would serve a client now."""
    try:
        with urllib.request.urlopen(f"{url(port)}/subjects", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
