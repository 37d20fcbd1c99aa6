"""An HDFS over HTTP, by Python's standard library: look at it, read it, set a quota.

Purpose: what the chaos run and its checker see of HDFS comes by another way than wasmill's own client. Every call ends
within its timeout and raises OSError when the NameNode or the DataNodes do not answer.
"""

import concurrent.futures
import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

# Never by way of a proxy from the environment.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TIMEOUT_SECONDS = 10
READERS = 8


class WebHdfs:
    """One HDFS, as the user that started it."""

    def __init__(self, http_address):
        self.address = http_address

    def url(self, path, operation, **parameters):
        query = urllib.parse.urlencode({"op": operation, "user.name": os.environ.get("USER") or "root", **parameters})
        return f"{self.address}/webhdfs/v1{urllib.parse.quote(path)}?{query}"

    def call(self, method, path, operation, **parameters):
        """The body of the answer; a 404 is FileNotFoundError."""
        request = urllib.request.Request(self.url(path, operation, **parameters), method=method)
        try:
            with DIRECT.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:500]
            kind = FileNotFoundError if error.code == 404 else OSError
            raise kind(f"{operation} {path}: {error.code} {text}") from None
        except http.client.HTTPException as error:
            raise OSError(f"{operation} {path}: {error!r}") from None

    def list(self, path, after=None):
        """Entries of a directory (dictionaries as the NameNode has them), only those with names above `after`."""
        found, last = [], after
        while True:
            parameters = {"startAfter": last} if last else {}
            listing = json.loads(self.call("GET", path, "LISTSTATUS_BATCH", **parameters))["DirectoryListing"]
            page = listing["partialListing"]["FileStatuses"]["FileStatus"]
            found += page
            if not page or not listing["remainingEntries"]:
                return found
            last = page[-1]["pathSuffix"]

    def files(self, path):
        """All files below a directory, as paths; nothing for a directory that does not exist."""
        try:
            entries = self.list(path)
        except FileNotFoundError:
            return
        for entry in entries:
            below = f"{path}/{entry['pathSuffix']}"
            if entry["type"] == "DIRECTORY":
                yield from self.files(below)
            else:
                yield below

    def read(self, path):
        return self.call("GET", path, "OPEN")

    def fetch(self, path, local):
        """Copies a directory with all below it to a local one; returns how many files."""
        names = list(self.files(path))

        def copy(name):
            place = Path(local) / name.removeprefix(path).lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self.read(name))

        with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
            # The list makes errors of the threads ours.
            list(pool.map(copy, names))
        return len(names)

    def make_directory(self, path):
        self.call("PUT", path, "MKDIRS")

    def set_space_quota(self, path, quota_bytes):
        """Bytes with all replicas; None: no limit."""
        self.call("PUT", path, "SETQUOTA", storagespacequota=-1 if quota_bytes is None else quota_bytes)
