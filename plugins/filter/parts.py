"""Ansible's filter `parts_of`: which roles a host has, by the table of parts in inventory/kit/."""

from collections.abc import Callable, Collection, Mapping


def parts_of(parts: Collection[Mapping], group_names: Collection[str], file: str = "") -> list[str]:
    """Return the roles of `kit_parts` that a host has, in the table's order.

    :param group_names: the host's groups, without `all`.
    :param file: only roles that have this one among their files, such as `health`.
    """
    return [
        part["role"]
        for part in parts
        if part["group"] in {"all", *group_names} and part.get("where", True) and (not file or file in part["has"])
    ]


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"parts_of": parts_of}
