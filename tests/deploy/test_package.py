"""The tarball and the Debian package are built, opened and used."""

import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

import place


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.directory = Path(temporary.name)
        told = place.run(place.DEPLOY / "package.sh", place.WASMILL, place.TRANSFORMS, cls.directory)
        cls.tarball, cls.package = map(Path, told.split())
        with tarfile.open(cls.tarball) as archive:
            cls.archived = archive.getmembers()
            archive.extractall(cls.directory, filter="data")
        cls.tree = cls.directory / cls.tarball.name.removesuffix(".tar.gz")
        place.run("dpkg-deb", "--extract", cls.package, cls.directory / "root")

    def test_all_that_belongs_to_it_is_there(self):
        files = {str(path.relative_to(self.tree)) for path in self.tree.rglob("*") if path.is_file()}
        pipelines = {f"share/wasmill/pipelines/{path.name}" for path in (place.ROOT / "host/pipelines").glob("*.toml")}
        documents = {f"share/doc/wasmill/{path.name}" for path in (place.ROOT / "host/docs").glob("*.md")}
        transforms = {f"share/wasmill/transforms/{path.name}" for path in place.TRANSFORMS.glob("*.wasm")}
        shipped = {path.parent.name.replace("-", "_") + ".wasm" for path in (place.ROOT / "transforms").glob("*/Cargo.toml")}
        self.assertEqual({Path(path).name for path in transforms}, shipped)
        self.assertEqual(
            files,
            pipelines | documents | transforms
            | {
                "bin/wasmill",
                "lib/systemd/system/wasmill@.service",
                "lib/sysusers.d/wasmill.conf",
                "share/bash-completion/completions/wasmill",
                "share/doc/wasmill/copyright",
                "share/fish/vendor_completions.d/wasmill.fish",
                "share/wasmill/monitoring/rules.yml",
                "share/wasmill/monitoring/wasmill.json",
                "share/zsh/vendor-completions/_wasmill",
            },
        )  # fmt: skip
        self.assertEqual((self.tree / "share/doc/wasmill/copyright").read_text(), (place.ROOT / "LICENSE").read_text())

    def test_the_debian_package_has_the_same_below_usr(self):
        listed = place.run("dpkg-deb", "--contents", self.package).splitlines()
        self.assertEqual({line.split()[1] for line in listed}, {"root/root"})
        self.assertEqual({(member.uid, member.gid) for member in self.archived}, {(0, 0)})
        root = self.directory / "root"
        place.run("diff", "--recursive", self.tree, root / "usr")
        self.assertEqual(sorted(path.name for path in root.iterdir()), ["etc", "usr"])
        self.assertEqual(list((root / "etc").rglob("*")), [root / "etc" / "wasmill"])

    def test_it_names_the_libraries_that_the_binary_wants(self):
        depends = place.run("dpkg-deb", "--field", self.package, "Depends")
        for library in ("libc6", "libsasl2-2", "libssl3", "libzstd1", "zlib1g"):
            self.assertIn(f"{library} (>= ", depends)
        version = place.run(place.WASMILL, "--version").split()[1]
        self.assertEqual(place.run("dpkg-deb", "--field", self.package, "Version").strip(), version)

    def test_the_binary_answers_and_takes_the_pipeline_that_is_shipped_with_it(self):
        binary = self.tree / "bin" / "wasmill"
        self.assertEqual(place.run(binary, "--version"), place.run(place.WASMILL, "--version"))
        demo = self.tree / "share" / "wasmill" / "pipelines" / "demo.toml"
        told = place.run(binary, "check", demo, cwd=self.directory)
        self.assertIn("ok       transform enrich-geo", told)

    def test_shells_take_their_completions(self):
        place.run("bash", "-n", self.tree / "share" / "bash-completion" / "completions" / "wasmill")
        for name in ("zsh/vendor-completions/_wasmill", "fish/vendor_completions.d/wasmill.fish"):
            self.assertIn("rollback", (self.tree / "share" / name).read_text())

    def test_scripts_of_the_maintainer_are_scripts(self):
        control = self.directory / "control"
        place.run("dpkg-deb", "--control", self.package, control)
        for name in ("postinst", "prerm"):
            place.run("sh", "-n", control / name)

    def test_systemd_takes_the_unit_and_finds_it_hardened(self):
        # systemd looks for the command itself in /usr/local/bin and /usr/bin, where it is not installed here.
        text = (self.tree / "lib/systemd/system/wasmill@.service").read_text()
        unit = self.directory / "wasmill@.service"
        unit.write_text(text.replace("ExecStart=wasmill ", f"ExecStart={self.tree}/bin/wasmill "))
        analyze = place.tool("systemd-analyze")
        done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        # Exposure from 0 to 100, in tenths of what it prints; up to 20 it says "OK".
        place.run(analyze, "security", "--offline=true", "--threshold=20", unit)


if __name__ == "__main__":
    unittest.main()
