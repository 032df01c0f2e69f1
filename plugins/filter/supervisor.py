"""Ansible's filters that write values into supervisord's configuration, so that it reads back just those values."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence

# Letters of a program's name; it is part of a section's head, of a log's path, and an argument of supervisorctl.
NAME = re.compile(r"[A-Za-z0-9_.-]+")
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# supervisord treats the rest of a line as a comment from any `;` or `#` after white space.
COMMENT = re.compile(r"\s[;#]")
# It replaces this before anything else, whether the `%` is doubled or not.
HERE = "%(here)s"

Command = str | Sequence[object]


class RefusedError(ValueError):
    """A value that supervisord's configuration cannot hold; the text names it, and says why."""


def _checked(value: object) -> str:
    text = str(value)
    if CONTROL_CHARACTER.search(text):
        raise RefusedError(f"{text!r} has a line break or another control character")
    return text


def _words(command: Command) -> list[str]:
    if not isinstance(command, str):
        return [_checked(word) for word in command]
    try:
        return shlex.split(_checked(command.strip()))
    except ValueError as error:
        raise RefusedError(str(error) if isinstance(error, RefusedError) else f"{command!r}: {error}") from error


def supervisor_value(value: object, expansions: int = 1) -> str:
    """Return a value as a line of the configuration holds it.

    :param expansions: how often supervisord expands `%`: twice in the path of a log, once elsewhere.
    :raises RefusedError: where no line can hold it.
    """
    text = _checked(value)
    if COMMENT.search(f" {text}") or HERE in text or text != text.strip():
        raise RefusedError(f"{text!r} would be read as something else")
    return text.replace("%", "%" * 2**expansions)


def supervisor_command(command: Command) -> str:
    """Return a command as the option `command` holds it: whatever its words are, the program gets just them.

    :param command: list of words, or a text that is quoted as for a shell.
    :raises RefusedError: where a word has a control character, or the text a quote without its end.
    """
    quoted = shlex.join(_words(command))
    # Empty quotes, which mean nothing, part what supervisord would take for a comment or for `%(here)s`. White space,
    # `;`, `#` and parentheses are in single quotes already.
    parted = re.sub(r"(?<=\s)(?=[;#])|(?<=%)(?=\()", "''", quoted)
    return parted.replace("%", "%%")


def supervisor_environment(environment: Mapping[str, object]) -> str:
    """Return variables as the option `environment` holds them.

    :raises RefusedError: where it cannot hold one: there is no escape for quotes, nor for what begins a comment.
    """
    entries = []
    for name, value in environment.items():
        text = _checked(value)
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise RefusedError(f"{name!r} is no name of a variable")
        quote = "'" if '"' in text else '"'
        if quote in text or text != text.strip("'\"") or COMMENT.search(text) or HERE in text:
            raise RefusedError(f"{text!r} of {name} has quotes, or what looks like a comment, that cannot be escaped")
        entries.append(f"{name}={quote}{text}{quote}".replace("%", "%%"))
    return ",".join(entries)


def supervisor_refusals(
    programs: Sequence[Mapping], user: str, environment: Mapping[str, object] | None = None
) -> list[str]:
    """Say what of some programs supervisord's configuration cannot hold; an empty list is: nothing.

    :param programs: each with `name` and `command`.
    :param environment: variables that they get.
    """
    refused = []

    def attempt(of: str, write: Callable, value: object) -> None:
        try:
            write(value)
        except RefusedError as error:
            refused.append(f"{of}: {error}")

    for program in programs:
        name = str(program["name"])
        if not NAME.fullmatch(name):
            refused.append(f"a program's name has letters, digits, `.`, `-` and `_`, and is not {name!r}")
        elif name == "all":
            refused.append("a program cannot be named all, which supervisorctl takes for every program")
        attempt(f"the program {name}", supervisor_command, program["command"])
    attempt("the user", supervisor_value, user)
    attempt("the environment", supervisor_environment, environment or {})
    return refused


def settings_files(settings: Sequence[Mapping], folder: str, group: str) -> list[dict]:
    """Return files of settings as the module config_files takes them.

    :param settings: as the input `supervisor_program_settings` says.
    :param folder: where they are.
    :param group: who may read them, besides root.
    """
    return [
        {
            "path": f"{folder}/{file['name']}",
            "content": file["content"],
            "group": group,
            "mode": file.get("mode", "0640"),
        }
        | ({"validate": file["validate"]} if "validate" in file else {})
        for file in settings
    ]


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "supervisor_command": supervisor_command,
            "supervisor_environment": supervisor_environment,
            "supervisor_refusals": supervisor_refusals,
            "settings_files": settings_files,
            "supervisor_value": supervisor_value,
        }
