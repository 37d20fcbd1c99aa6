"""What the test servers are made of: jars from Maven Central, Python packages from PyPI.

Purpose: fetch each set once, by package name, into `tests/.cache` (or `$WASMILL_TEST_CACHE`).
Guarantee: a set is either whole or absent (fetched beside its place, then renamed), two callers at once
fetch it once, and a failed download is tried again. Knows nothing of how servers are started.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("WASMILL_TEST_CACHE") or TESTS / ".cache")
REQUIREMENTS = TESTS / "python" / "requirements.txt"

KAFKA_VERSION = "4.3.0"
HADOOP_VERSION = "3.5.0"

# A set is a list of Maven coordinates. Their digest is part of the directory's name: a changed list is fetched anew.
JAR_SETS = {
    "kafka": [
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        # Without a binding for slf4j the broker's log is empty.
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
    ],
    "hdfs": [
        f"org.apache.hadoop:hadoop-common:{HADOOP_VERSION}",
        f"org.apache.hadoop:hadoop-hdfs:{HADOOP_VERSION}",
        # A `provided` dependency of hadoop-hdfs: has to be named.
        f"org.apache.hadoop:hadoop-hdfs-client:{HADOOP_VERSION}",
    ],
    "connect": [
        f"org.apache.kafka:connect-runtime:{KAFKA_VERSION}",
        f"org.apache.kafka:connect-file:{KAFKA_VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
    ],
}

# A program with all its jars, packed.
REGISTRY = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"

DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
ATTEMPTS = 4


class FetchError(Exception):
    """A download that failed each time; the text says what to do."""


def say(text):
    """One line for a person, on standard error: standard output belongs to results."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name):
    """Holds `CACHE/NAME.lock`, so that two test runs do not fetch the same thing side by side."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def retried(what, command, **options):
    """Runs `command` until it succeeds, `ATTEMPTS` times at most, with a growing pause."""
    for attempt in range(1, ATTEMPTS + 1):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        if done.returncode == 0:
            return
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        if attempt < ATTEMPTS:
            say(f"{what}: attempt {attempt} of {ATTEMPTS} failed, trying again\n{tail}")
            time.sleep(3 * attempt)
    raise FetchError(f"{what}: failed {ATTEMPTS} times. Is the network there? Run again to go on.\n{tail}")


def pom(coordinates, exclude_groups=()):
    """A Maven project that is nothing but its dependencies."""
    exclusions = "".join(
        f"<exclusion><groupId>{group}</groupId><artifactId>*</artifactId></exclusion>" for group in exclude_groups
    )
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
        "<exclusions>{}</exclusions></dependency>".format(*coordinate.split(":"), exclusions)
        for coordinate in coordinates
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>wasmill.tests</groupId><artifactId>jars</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def jars(name, coordinates=None, exclude_groups=()):
    """The directory with the jars of a set and of all they depend on; fetched if absent."""
    text = pom(coordinates or JAR_SETS[name], exclude_groups)
    place = CACHE / "jars" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if place.is_dir():
        return place
    with locked(f"jars-{name}"):
        if place.is_dir():
            return place
        if shutil.which("mvn") is None:
            raise FetchError("mvn was not found: install Maven and a JDK 17 (Debian: apt-get install maven)")
        say(f"fetching the jars of {name} from Maven Central")
        beside = place.with_name(place.name + ".part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        (beside / "pom.xml").write_text(text)
        goal = f"{DEPENDENCY_PLUGIN}:copy-dependencies"
        retried(
            f"jars of {name}",
            ["mvn", "-B", "-ntp", "-f", str(beside / "pom.xml"), goal, f"-DoutputDirectory={beside}"],
        )
        beside.rename(place)
    return place


def registry():
    """The directory of the unpacked schema registry; fetched if absent."""
    place = CACHE / "registry" / REGISTRY.split(":")[2]
    if place.is_dir():
        return place
    with locked("registry"):
        if place.is_dir():
            return place
        say("fetching the schema registry from Maven Central")
        beside = place.with_name(place.name + ".part")
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "program").mkdir(parents=True)
        goal = f"{DEPENDENCY_PLUGIN}:copy"
        retried("schema registry", ["mvn", "-B", "-ntp", goal, f"-Dartifact={REGISTRY}", f"-DoutputDirectory={beside}"], cwd=beside)
        (packed,) = beside.glob("*.tar.gz")
        subprocess.run(["tar", "-xzf", packed, "-C", beside / "program"], check=True)
        (beside / "program").rename(place)
        shutil.rmtree(beside)
    return place


def venv_python(create=True, requirements=REQUIREMENTS):
    """The Python with the packages of `requirements`; None if absent and not to be created."""
    text = requirements.read_text() + sys.version
    place = CACHE / f"venv-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    python, complete = place / "bin" / "python", place / "complete"
    if complete.exists():
        return python
    if not create:
        return None
    with locked("venv"):
        if complete.exists():
            return python
        say(f"making a Python environment with the packages of {requirements.relative_to(TESTS)}")
        shutil.rmtree(place, ignore_errors=True)
        retried("virtual environment", [sys.executable, "-m", "venv", str(place)])
        # Wheels where there are any: nothing of ours is compiled here.
        options = ["--prefer-binary"]
        retried(
            "Python packages",
            [str(python), "-m", "pip", "install", "--quiet", *options, "-r", str(requirements)],
        )
        complete.touch()
    return python
