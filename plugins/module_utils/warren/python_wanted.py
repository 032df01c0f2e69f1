"""Which versions of Python a project takes, by what its files say."""

import ast
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

from packaging.specifiers import SpecifierSet

# One condition of a constraint, such as `^3.12`.
CONDITION = re.compile(r"(\^|~=|~|===?|!=|<=|>=|<|>|)\s*([\w.*+!-]+)")


def pyproject(source: Path) -> dict:
    """Return what a project's pyproject.toml holds; nothing where it has none."""
    try:
        return tomllib.loads((source / "pyproject.toml").read_text())
    except FileNotFoundError:
        return {}


def requires_python(source: str) -> str:
    """Return which versions of Python a project takes, as it writes that; empty where it does not say."""
    return _said(Path(source))[1]


def takes_python(source: str, version: str) -> bool:
    """Return whether a project takes a version of Python, such as `3.11.2`."""
    return any(one.contains(version, prereleases=True) for one in alternatives(requires_python(source)))


def problem(source: Path) -> str | None:
    """Return why it cannot be read which Python a project wants, with the file; None where it can."""
    name = "pyproject.toml"
    try:
        name, text = _said(source)
        alternatives(text)
    # What Python's, TOML's and packaging's parsers raise are all of this kind, but the first.
    except (SyntaxError, ValueError) as error:
        name = "setup.py" if isinstance(error, SyntaxError) else name
        return f"{source}/{name} cannot be read: {error}."
    return None


def _said(source: Path) -> tuple[str, str]:
    """Return the file that says it, and what. A build takes the first that does."""
    found = pyproject(source)
    said = found.get("project", {}).get("requires-python")
    if said is None:
        said = found.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
    if said is not None:
        return "pyproject.toml", str(said)
    if said := _argument_of_setup(source / "setup.py"):
        return "setup.py", said
    setup = ConfigParser()
    setup.read(source / "setup.cfg")
    return "setup.cfg", setup.get("options", "python_requires", fallback="")


def _argument_of_setup(file: Path) -> str:
    """Return what is written as `setup(python_requires=…)`; empty where that is made by an expression."""
    if not file.exists():
        return ""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    given = {
        keyword.value.value
        for call in calls
        if "setup" in (getattr(call.func, "id", ""), getattr(call.func, "attr", ""))
        for keyword in call.keywords
        if keyword.arg == "python_requires" and isinstance(keyword.value, ast.Constant)
    }
    return str(given.pop()) if given else ""


def alternatives(text: str) -> list[SpecifierSet]:
    """Return the sets of versions that a constraint takes, in the way of Python's standards or of Poetry.

    :raises ValueError: when it cannot be read.
    """
    return [SpecifierSet(",".join(_conditions(one))) for one in re.split(r"\|\|?", text)]


def _conditions(text: str) -> list[str]:
    """Return the conditions in the standards' way. Poetry puts commas or spaces between them."""
    rest = CONDITION.sub("", text)
    if rest.strip(" ,"):
        raise ValueError(f"{text.strip()!r} is no constraint")
    return [said for operator, version in CONDITION.findall(text) if (said := _condition(operator, version))]


def _condition(operator: str, version: str) -> str:
    if version == "*":
        return ""
    if operator not in ("^", "~"):
        return f"{operator or '=='}{version}"
    # Python's first number is never 0, so a caret keeps that one; a tilde keeps two, where there are two.
    kept = [int(number) for number in version.split(".")[: 1 if operator == "^" else 2]]
    return f">={version},<{'.'.join(map(str, [*kept[:-1], kept[-1] + 1]))}"
