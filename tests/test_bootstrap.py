"""`make` begins with bootstrap, whose lines a newcomer reads first: what pip says is shown where it fails."""

import hashlib
import os
import shutil
import subprocess
import zipfile

import pytest
from kit import PROJECT

PACKAGE = {
    "quiet.py": "",
    "quiet-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: quiet\nVersion: 1\n",
    "quiet-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "quiet-1.dist-info/RECORD": "",
}


@pytest.fixture
def bootstrap(tmp_path):
    """Run bootstrap in a separate repository that needs one Python package; all of Debian's are installed."""
    (tmp_path / "lab").mkdir(parents=True)
    script = shutil.copy(PROJECT / "lab/bootstrap", tmp_path / "lab/bootstrap")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dpkg-query").write_text("#!/bin/sh\necho install ok installed\n")
    (tmp_path / "bin/dpkg-query").chmod(0o755)
    with zipfile.ZipFile(tmp_path / "quiet-1-py3-none-any.whl", "w") as wheel:
        for name, text in PACKAGE.items():
            wheel.writestr(name, text)

    digest = hashlib.sha256((tmp_path / "quiet-1-py3-none-any.whl").read_bytes()).hexdigest()

    def run(requirement, digest=digest):
        # pip warns of a place that is not there.
        places = ["--no-index", "--find-links /nowhere", f"--find-links {tmp_path}"]
        (tmp_path / "requirements.lock").write_text("\n".join([*places, f"{requirement} --hash=sha256:{digest}"]))
        environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run([script], env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_pip_says_nothing_where_all_is_well(bootstrap):
    done = bootstrap("quiet==1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Installing the Python requirements into .venv\n", "")
    assert bootstrap("quiet==1").stdout == ""


def test_a_package_that_is_not_the_pinned_one_is_refused(bootstrap):
    done = bootstrap("quiet==1", digest="0" * 64)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_pip_says_why_it_failed(bootstrap):
    done = bootstrap("quiet==2")
    assert done.returncode != 0
    assert "No matching distribution found for quiet==2" in done.stderr
