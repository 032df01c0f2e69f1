"""The files of the kit's roles, for the action plugins that read them for another role or for all hosts."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader

ROLES = Path(__file__).resolve().parents[3] / "roles"


@cache
def load_yaml(path: Path) -> Any:
    """Return what a YAML file of the kit holds, read once."""
    # libyaml's is ten times faster.
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@cache
def read(loader: DataLoader, role: str, name: str) -> Any:
    """Return what a YAML file of a role holds, with its templates. Whoever asks again gets the same object."""
    return loader.load_from_file(str(ROLES / role / name), trusted_as_template=True) or {}


def variables_of(loader: DataLoader, role: str, given: dict[str, Any], *files: str) -> dict[str, Any]:
    """Return the variables that a role has: its defaults, what it is given, and its own.

    :param files: of its folder `vars`, besides main.yml.
    """
    own = {}
    for name in ("main.yml", *files):
        own |= read(loader, role, f"vars/{name}")
    return read(loader, role, "defaults/main.yml") | given | own


@cache
def options_of(role: str) -> dict[str, dict]:
    """Return the specification of a role's inputs, by name."""
    spec = load_yaml(ROLES / role / "meta/argument_specs.yml")
    return spec["argument_specs"]["main"]["options"]


@cache
def values_of(role: str) -> dict[str, Any]:
    """Return what the inputs of a role, and what lies in them, may be."""
    return load_yaml(ROLES / role / "vars/rules.yml").get(f"__{role}_values", {}) if has_rules(role) else {}


@cache
def kinds_of(role: str, name: str) -> dict[str, Any]:
    """Return what an input of a role may be: paths below it, and kinds."""
    return {
        path.removeprefix(name).removeprefix("."): kind
        for path, kind in values_of(role).items()
        if path.partition(".")[0] == name
    }


def has_rules(role: str) -> bool:
    """Return whether a role has rules for its inputs."""
    return (ROLES / role / "vars/rules.yml").exists()
