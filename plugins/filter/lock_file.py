"""Ansible's filters `pinned_packages` and `unpinned_constraints`: what a lock file pins, and what that leaves open."""

import re
from collections.abc import Callable, Collection

# The start of a line such as `kombu[redis]==5.6.2 ; python_version >= "3.11" \`.
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*==", re.MULTILINE)


def normalised(name: str) -> str:
    """A package's name as pip compares it: `Backports.zstd` and `backports-zstd` are the same."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_packages(lock_file: str) -> list[str]:
    """The packages that a lock file, given as text, pins to a version, by their normalised names."""
    return [normalised(name) for name in PIN.findall(lock_file)]


def unpinned_constraints(constraints: str, pinned: Collection[str]) -> list[str]:
    """The lines `NAME==VERSION` of a file of constraints, given as text, but for the packages that are pinned."""
    return [line for line in constraints.splitlines() if (pin := PIN.match(line)) and normalised(pin[1]) not in pinned]


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"pinned_packages": pinned_packages, "unpinned_constraints": unpinned_constraints}
