"""Ansible's filters about the parts of a host: its roles, the packages that these need, and what they answered."""

from collections.abc import Callable, Collection, Mapping


def parts_of(parts: Collection[Mapping], group_names: Collection[str], file: str = "", shown: bool = True) -> list[str]:
    """Return the roles of `kit_parts` that a host has, in the table's order.

    :param group_names: the host's groups, without `all`.
    :param file: only roles that have this one among their files, such as `health`.
    :param shown: False leaves out the roles whose health status and doctor show.
    """
    return [
        part["role"]
        for part in _of_host(parts, group_names)
        if (not file or file in part["has"]) and (shown or not part.get("status_shows_health", False))
    ]


def packages_of(parts: Collection[Mapping], group_names: Collection[str]) -> list[str]:
    """Return the Debian packages of the parts of `kit_parts` that a host has, sorted.

    :param group_names: the host's groups, without `all`.
    """
    return sorted({package for part in _of_host(parts, group_names) for package in part.get("packages", [])})


def _of_host(parts: Collection[Mapping], group_names: Collection[str]) -> list[Mapping]:
    return [part for part in parts if part["group"] in {"all", *group_names} and part.get("where", True)]


def answers_of(said: Mapping, parts: Collection[Mapping]) -> Mapping[str, Mapping]:
    """Return what a host answered for each role, as the module ask_parts returns it.

    :param said: the module's result; where it has failed as a whole, every role has this answer.
    :param parts: `kit_parts`.
    """
    asked = [part["role"] for part in parts if "status" in part["has"]]
    return said["answers"] if "answers" in said else dict.fromkeys(asked, said)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"parts_of": parts_of, "packages_of": packages_of, "answers_of": answers_of}
