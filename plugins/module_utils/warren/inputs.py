"""Which variables look like inputs of the kit and are none, as a mistyped name would."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from .roles import load_yaml

KIT = Path(__file__).resolve().parents[3]
# What roles observe, and leave to others in the same run.
OBSERVED = ["celery_app_release", "celery_app_fingerprint", "celery_app_goes_back", "celery_app_measured"]
# Roles that have their inputs from other roles, and none from an inventory.
CALLED_ROLES = ["supervisor_program"]
# Variables that begin like nothing of the kit's are somebody else's, except those that are as near to one as this.
NEAR = 0.9
# A name that is less like an unknown one is not what was meant.
LIKE = 0.7
FOLDERS = ["group_vars", "host_vars"]


def known_inputs(roles: Collection[str]) -> Iterator[str]:
    """Name everything that the kit reads: the options of these roles, and the variables of inventory/kit/."""
    for role in roles:
        spec = load_yaml(KIT / "roles" / role / "meta/argument_specs.yml")
        yield from spec["argument_specs"]["main"]["options"]
    for file in (KIT / "inventory/kit").glob("*.yml"):
        yield from load_yaml(file)["all"].get("vars", {})
    yield from OBSERVED


def known_groups() -> Iterator[str]:
    """Name the groups of inventory/kit/groups.yml, and Ansible's own."""
    yield from ("all", "ungrouped")
    yield from _below(load_yaml(KIT / "inventory/kit/groups.yml")["all"])


def _below(group: Mapping | None) -> Iterator[str]:
    for name, child in ((group or {}).get("children") or {}).items():
        yield name
        yield from _below(child)


def unknown_variables(hostvars: Mapping[str, Mapping], prefixes: Collection[str], known: Collection[str]) -> list[str]:
    """Name each variable of a host that is not known and begins with one of the prefixes, or almost like one.

    Returns texts such as "`celery_worker_logg_level` of w1, w2 (is it `celery_worker_log_level`?)". Only names are
    looked at, never values.
    """
    hosts_of: dict[str, list[str]] = {}
    for host, variables in hostvars.items():
        for name in variables.keys() - known:
            hosts_of.setdefault(name, []).append(host)
    begins = tuple(f"{prefix}_" for prefix in prefixes)
    hosts_of = {
        name: hosts
        for name, hosts in hosts_of.items()
        if name.lower().startswith(begins)
        or (not name.startswith("ansible_") and difflib.get_close_matches(name.lower(), known, 1, NEAR))
    }
    found = []
    for name, hosts in sorted(hosts_of.items()):
        where = "all hosts" if len(hosts) == len(hostvars) else ", ".join(hosts)
        nearest = nearest_input(name.lower(), known)
        found.append(f"`{name}` of {where}" + (f" (is it `{nearest}`?)" if nearest else ""))
    return found


def nearest_input(name: str, known: Collection[str]) -> str:
    """Return the name that somebody may mean by an unknown one: one that begins with it, or that is much like it."""
    longer = [other for other in known if other.startswith(name)]
    return next(iter(difflib.get_close_matches(name, longer or known, 1, 0 if longer else LIKE)), "")


# Words of an inventory's own that are no variables: whoever has them as such has written them a level too deep.
STRUCTURE = {
    "vars": "in group_vars, names begin at the margin, without `vars:` above them",
    "hosts": "`hosts:` belongs below a group, beside the hosts' names",
    "children": "`children:` belongs below a group, beside its `hosts:`",
}


def misplaced(hostvars: Mapping[str, Mapping]) -> Iterator[str]:
    """Yield a sentence for each word of an inventory's own that hosts have as a variable."""
    for name, instead in STRUCTURE.items():
        if hosts := [host for host, variables in hostvars.items() if isinstance(variables.get(name), Mapping)]:
            where = "all hosts" if len(hosts) == len(hostvars) else ", ".join(hosts)
            inner = ", ".join(f"`{key}`" for key in list(hostvars[hosts[0]][name])[:5])
            yield f"`{name}` of {where} would be a variable, and nobody reads {inner} in it: {instead}."


def unread_files(sources: Collection[str], groups: Collection[str], meant: Callable[[str], str]) -> Iterator[str]:
    """Yield a sentence for each file beside the inventories whose variables nobody reads, as its name is misspelt.

    :param groups: all that there are.
    :param meant: returns the group of the kit that a name may stand for, or an empty text.
    """
    given = [Path(source) for source in sources if Path(source).resolve() != KIT / "inventory/kit"]
    for folder in dict.fromkeys(path if path.is_dir() else path.parent for path in given if path.exists()):
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            nearest = difflib.get_close_matches(inner.name.lower().replace("-", "_"), FOLDERS, 1, 0.85)
            if nearest and inner.name not in FOLDERS:
                yield f"Ansible reads no folder {inner}: rename it to {nearest[0]}."
        for file in sorted(path for inner in FOLDERS for path in (folder / inner).glob("*.*")):
            if file.with_suffix("").is_dir() and file.suffix in (".yml", ".yaml", ".json"):
                yield f"Ansible reads no {file} beside the folder {file.with_suffix('')}: move it into that folder."
        for file in sorted((folder / "group_vars").glob("*")):
            name = file.stem if file.suffix in (".yml", ".yaml", ".json") else file.name
            if name not in groups and (group := meant(name)):
                yield f"Nobody reads {file}, as there is no group `{name}:`: rename it to {group}{file.suffix}."


def unknown_inputs(hostvars: Mapping[str, Mapping], roles: Collection[str], foreign: Collection[str]) -> list[str]:
    """Name each variable of a host that begins as an input of these roles or of the kit does, and that nobody reads.

    :param foreign: names of the operator's own that begin alike.
    """
    known = {*known_inputs(roles), *foreign}
    return unknown_variables(hostvars, ["cluster", "secret", "kit", "wiring", *CALLED_ROLES, *roles], known)
