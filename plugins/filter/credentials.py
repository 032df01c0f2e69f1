"""Ansible's filters about credentials: users named after passwords, files of secrets, and what secrets were before."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


def user_of_purpose(purpose: str, password: object) -> str:
    """Return the name of the user of a purpose, such as `worker-1f0c`, who has this password and no other ever.

    A changed password is a new user, beside the one that programs still log in as until they have moved. Nothing has to
    remember which of the two is in use. Four hexadecimal digits of a digest tell apart the two of a rotation; of a
    password they tell 16 bits, and the rules of secrets ask for many more.

    :param purpose: what the user is for.
    :param password: any value; its text counts.
    """
    return f"{purpose}-{hashlib.sha256(f'{purpose}:{password}'.encode()).hexdigest()[:4]}"


def users_of_purposes(
    purposes: Mapping[str, Mapping[str, str]], used: Iterable[str], most: int
) -> list[dict[str, str | int]]:
    """Return the users of those purposes that are used, as the role `rabbitmq` takes them.

    :param purposes: by their names, each with `password`, `configure`, `write` and `read`.
    :param used: names of purposes.
    :param most: how many connections each may have.
    """
    return [
        {"name": user_of_purpose(name, purposes[name]["password"]), **purposes[name], "max_connections": most}
        for name in used
    ]


def kept_in_files(secrets: Mapping[str, object], folder: str) -> list[str]:
    """Return the names of those secrets that are in files of their names in a folder, as the kit makes them.

    Another one is set in the inventory, where the kit cannot change it.

    :param secrets: their values by the names of their files.
    """
    paths = {name: Path(folder, name) for name in secrets}
    return [
        name for name, path in paths.items() if path.is_file() and path.read_text().rstrip("\n") == str(secrets[name])
    ]


def former_values(folder: str, name: str) -> list[str]:
    """Return what a secret was before it was replaced, the newest first; none if it never was.

    :param folder: has the file NAME.former, with a value on each line.
    """
    path = Path(folder, f"{name}.former")
    return path.read_text().splitlines() if path.is_file() else []


def python_names(folder: str, name: str) -> bool:
    """Return whether a Python file of a folder, or below it, has this name in it."""
    return any(name in path.read_text(errors="replace") for path in Path(folder).rglob("*.py") if path.is_file())


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "user_of_purpose": user_of_purpose,
            "users_of_purposes": users_of_purposes,
            "kept_in_files": kept_in_files,
            "former_values": former_values,
            "python_names": python_names,
        }
