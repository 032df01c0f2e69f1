"""What a lock file pins stays the project's choice; the kit's constraints hold for the rest."""

import lock_file
import pytest
from kit import PROJECT


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("celery==5.6.3", ["celery"]),
        # Found with its extras, or the kit's own version of kombu would contradict the project's.
        ("kombu[redis]==5.6.2", ["kombu"]),
        ("kombu[msgpack,redis]==5.6.2", ["kombu"]),
        ('Backports.Zstd==1.8.0 ; python_version < "3.14" \\', ["backports-zstd"]),
        ("typing_extensions == 4.15.0", ["typing-extensions"]),
        ("celery>=5.6", []),
        ("celery @ https://192.0.2.1/celery.whl", []),
        ("# celery==5.6.3", []),
        ("    # via kombu==5.6.2", []),
        ("    --hash=sha256:0123456789abcdef", []),
        ("-r other.txt", []),
        ("", []),
    ],
)
def test_a_line_pins_a_package(line, names):
    assert lock_file.pinned_packages(f"amqp==5.3.1\n{line}\n") == ["amqp", *names]


def test_what_is_pinned_is_no_constraint():
    constraints = "# A comment==1\n\nredis==8.1.0\nredis-extra==1.0\nbackports-zstd==1.8.0\n"
    assert lock_file.unpinned_constraints(constraints, ["backports-zstd", "redis"]) == ["redis-extra==1.0"]


def test_without_a_lock_file_every_constraint_remains():
    constraints = (PROJECT / "roles/celery_app/files/constraints.txt").read_text()
    lines = [line for line in constraints.splitlines() if not line.startswith("#")]
    assert lock_file.unpinned_constraints(constraints, []) == lines
    assert len(lines) > 10
