"""No secret is committed: detect-secrets looks at every file of the repository but tests, which make up some."""

import subprocess
import sys
from pathlib import Path

import pytest
from kit import PROJECT

pytestmark = pytest.mark.lengthy

HOOK = Path(sys.executable).with_name("detect-secrets-hook")
# Tests, and hashes of packages.
OTHERS = r"(^|/)tests/|requirements\.lock"
# What looks like a secret and is none: rows of keys, sentences with the word password or secret, the form of a URL, and
# the lab of one host, which shows what characters a secret may have.
NO_SECRETS = (
    r"lab_every_character|^RUNS = |Shows no URL, which holds a password|no API without a password|password_encryption:"
    r"|://USER:PASSWORD@HOST|Say which secret shall be new"
)


def secrets_in(*files):
    """What the tool says of some files; empty where it finds nothing."""
    command = [HOOK, "--exclude-files", OTHERS, "--exclude-lines", NO_SECRETS, *files]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout if done.returncode else ""


def test_no_file_of_the_repository_has_a_secret():
    files = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(files) > 500
    assert secrets_in(*files) == ""


@pytest.mark.parametrize(
    "line",
    [
        'secret_redis: "kJ8vQ2mZ7pXw4RtY9sLd"',
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLF",
        "-----BEGIN RSA PRIVATE KEY-----",
        "url: amqp://celery:kJ8vQ2mZ7pXw4RtY9sLd@198.51.100.11//",
    ],
)
def test_a_secret_is_found(tmp_path, line):
    file = tmp_path / "all.yml"
    file.write_text(line + "\n")
    assert str(file) in secrets_in(file)
