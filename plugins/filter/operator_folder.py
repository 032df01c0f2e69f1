"""Ansible's filters about an operator's folder: where it is, what a command in it lacks, and its ansible.cfg."""

import configparser
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path

KIT = Path(__file__).resolve().parents[2]
KIT_INVENTORY = KIT / "inventory/kit"


class FolderError(ValueError):
    """A command that cannot say which cluster it is for. Its message says what to type."""


def operator_folder(sources: Collection[str]) -> str:
    """Return the folder of the first inventory after the kit's, where secrets and reports go.

    :param sources: the magic variable `ansible_inventory_sources`.
    :raises FolderError: the kit's is missing, or there is none after it.
    """
    paths = [Path(source) for source in sources]
    # As the kit may be reached by a link.
    places = [path.resolve() for path in paths]
    # Molecule puts one of its own before all others.
    after = paths[places.index(KIT_INVENTORY) + 1 :] if KIT_INVENTORY in places else []
    if not after:
        others = [str(path) for path in paths if path.resolve() != KIT_INVENTORY] or ["FILE"]
        options = " ".join(f"-i {source}" for source in [_typed(KIT_INVENTORY), *others])
        raise FolderError(
            "The kit's inventory, which names the groups and has the defaults, must come before yours: type the "
            f"command in a folder that `make site DIR=FOLDER` has made, or give `{options}`."
        )
    return str(after[0] if after[0].is_dir() else after[0].parent)


def inventory_fault(sources: Collection[str], hosts: int, config: str) -> str:
    """Say why playbooks cannot run with these inventories and this ansible.cfg, and what to type; empty if they can.

    :param sources: the magic variable `ansible_inventory_sources`.
    :param hosts: how many hosts they have.
    :param config: path of the ansible.cfg in use, or empty. Its section [warren] says for which kit it was made.
    """
    try:
        folder = operator_folder(sources)
    except FolderError as fault:
        return str(fault)
    if not hosts:
        groups = _typed(KIT_INVENTORY / "groups.yml")
        return f"{', '.join(list(sources)[1:])} has no hosts: add them under the groups that {groups} names."
    wanted = _format(KIT / "ansible.cfg")
    found = _format(Path(config)) if config else None
    if found is not None and found > wanted:
        return f"{config} was made for a newer kit than {KIT}: type `git -C {KIT} pull`."
    if found is not None and found < wanted:
        command = f"make -C {KIT} site DIR={folder}"
        return f"{config} was made for an older kit: type `{command}`, which renews it and nothing else."
    return ""


def operator_config(kit_config: str, kit: str) -> str:
    """Return the ansible.cfg of an operator's folder.

    :param kit_config: the text of the kit's own.
    :param kit: path of the kit from the folder.
    """
    own = re.sub(r"(?m)^# The lab is .*\ninventory = .*$", f"inventory = {kit}/inventory/kit,hosts.yml", kit_config)
    return re.sub(r"(?m)^(\w+_path|library|\w+_plugins|module_utils) = ", rf"\g<0>{kit}/", own)


def _format(config: Path) -> int | None:
    """Return the number of the settings that an ansible.cfg has, or None if it was not made by the kit."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(config)
    return parser.getint("warren", "format", fallback=None)


def _typed(path: Path) -> str:
    """Return a path of the kit as it is typed where the command was."""
    return os.path.relpath(path)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "operator_folder": operator_folder,
            "inventory_fault": inventory_fault,
            "operator_config": operator_config,
        }
