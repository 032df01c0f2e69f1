"""What several tests of this folder use."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def place():
    """A folder below which only root may write, unlike those below /tmp."""
    if os.geteuid() != 0:
        pytest.skip("only root gives folders away")
    made = subprocess.run(["mktemp", "-d", "-p", "/var/lib"], capture_output=True, text=True, check=True)
    folder = Path(made.stdout.strip())
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-r", folder], check=True)
