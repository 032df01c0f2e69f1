"""What a host says of pending security updates, with an apt of which the test says what it knows."""

import os
import re
import subprocess
import sys

import pytest
from kit import PROJECT

SCRIPT = PROJECT / "roles/host/files/warren-updates"
# Each package has versions from the installed one on; `!` marks those of Debian-Security.
APT = """
import os
from types import SimpleNamespace as Some

def init():
    pass

def version_compare(one, other):
    return int(one) - int(other)

def version(text):
    file = Some(label="Debian-Security" if text.endswith("!") else "Debian")
    return Some(ver_str=text.rstrip("!"), file_list=[(file, 0)])

def Cache(progress):
    packages = []
    for line in os.environ["PACKAGES"].split():
        name, _, numbers = line.partition("=")
        versions = [version(text) for text in numbers.split(",") if text]
        packages.append(Some(name=name, version_list=versions, current_ver=versions[0] if versions else None))
    return Some(packages=packages)
"""


@pytest.fixture
def host(tmp_path):
    """Have the host say something; returns the seconds by name of metric and package."""
    (tmp_path / "apt_pkg.py").write_text(APT)
    file = tmp_path / "updates.prom"

    def say(packages, *asked, former=None):
        if former is not None:
            file.write_text(former)
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "PACKAGES": packages}
        subprocess.run([sys.executable, SCRIPT, file, *asked], check=True, env=environment)
        assert [path.name for path in tmp_path.glob("updates*")] == ["updates.prom"]
        lines = re.findall(r"^warren_(\w+)_timestamp_seconds(?:{package=\"(.*)\"})? ([0-9]+)$", file.read_text(), re.M)
        return {package or name: int(seconds) for name, package, seconds in lines}

    return say


def test_only_security_updates_of_installed_packages_are_pending(host):
    said = host("openssl=1,2! bash=1!,2 vim=3!,2! curl= haproxy=1,2!,3")
    assert sorted(said) == ["haproxy", "openssl", "package_lists"]


def test_an_update_is_pending_since_the_host_first_heard_of_it(host):
    former = 'warren_security_update_timestamp_seconds{package="openssl"} 5\nwarren_package_lists_timestamp_seconds 7\n'
    said = host("openssl=1,2! bash=1,2!", former=former)
    assert (said["openssl"], said["package_lists"]) == (5, 7)
    assert said["bash"] > 1_700_000_000
    assert host("openssl=2!", "asked").keys() == {"package_lists"}


def test_the_lists_are_as_old_as_the_last_question(host):
    former = "warren_package_lists_timestamp_seconds 7\n"
    assert host("", former=former)["package_lists"] == 7
    assert host("", "asked", former=former)["package_lists"] > 1_700_000_000
