"""Ansible's filters `refused_settings`, `refused_lines` and `refused_arguments`: what an operator may not change."""

from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase


def refused_settings(
    settings: Mapping[str, object], reserved: Mapping[str, str], lists: bool = False, breaks: bool = False
) -> list[str]:
    """Return what is wrong with settings that go into a daemon's configuration as they are.

    :param settings: name to value.
    :param reserved: what to do instead, by the names that nobody may set; `*` and `?` are wildcards.
    :param lists: whether values may be lists or mappings, too.
    :param breaks: whether values may have line breaks, as they are quoted.
    """
    return list(_refused(settings, reserved, lists, breaks))


def _refused(settings: Mapping[str, object], reserved: Mapping[str, str], lists: bool, breaks: bool) -> Iterator[str]:
    for name, value in settings.items():
        plain = str(name).strip().lower()
        # As an option on a command line is written.
        names = (plain, plain.replace("-", "_"))
        instead = next(
            (what for pattern, what in reserved.items() if any(fnmatchcase(one, pattern) for one in names)), None
        )
        if instead:
            yield f"`{name}`: {instead}"
        elif not str(name).strip() or any(letter in str(name) for letter in "\r\n#'\"="):
            yield f"{str(name)!r}: this is no setting's name"
        elif not breaks and ("\n" in str(value) or "\r" in str(value)):
            yield f"`{name}`: its value has a line break"
        elif not lists and not isinstance(value, str | int | float):
            yield f"`{name}`: give it a text, a number, true or false"


def refused_lines(lines: Collection[str], reserved: Mapping[str, str]) -> list[str]:
    """Return what is wrong with lines that go into a daemon's configuration as they are.

    :param reserved: what to do instead, by the words that no line may begin with.
    """
    return [
        f"`{words}`: {instead}"
        for words, instead in reserved.items()
        if any(f"{' '.join(line.split())} ".startswith(f"{words} ") for line in map(str, lines))
    ]


def refused_arguments(arguments: Collection[object], reserved: Mapping[str, str]) -> list[str]:
    """Return what is wrong with arguments that a command gets besides its own.

    :param reserved: what to do instead, by the names that an option has, such as `-c --concurrency`.
    """
    return [
        f"`{argument}`: {instead}"
        for argument in map(str, arguments)
        for names, instead in reserved.items()
        if any(_is_option(argument, name) for name in names.split())
    ]


def _is_option(argument: str, name: str) -> bool:
    """Return whether an argument is an option, perhaps with its value: `--pool=solo`, or `-c8`."""
    return argument == name or argument.startswith(f"{name}=" if name.startswith("--") else name)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "refused_settings": refused_settings,
            "refused_lines": refused_lines,
            "refused_arguments": refused_arguments,
        }
