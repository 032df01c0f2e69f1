"""Check Flower's options with Flower's own parser, which silently ignores a name that it does not know.

Usage: check_config.py < flowerconfig.py

Exits with 0 if all is well, otherwise with 1 and one sentence. The sentence never contains a value, which may be a
password.
"""

import sys
import tempfile

from flower.options import options
from tornado.options import Error


def complaint(source: str) -> str:
    """Return what is wrong with the options, or ""."""
    given = {}
    exec(compile(source, "flowerconfig.py", "exec"), given)
    names = [name for name in given if not name.startswith("__")]
    unknown = sorted(name for name in names if name not in options)
    if unknown:
        return f"Flower has no option {', '.join(unknown)}."
    for name in names:
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write(f"{name} = {given[name]!r}\n")
            file.flush()
            try:
                options.parse_config_file(file.name, final=False)
            except (Error, ValueError):
                return f"Flower's option {name} has a value of the wrong type, {type(given[name]).__name__}."
    return ""


if __name__ == "__main__":
    sys.exit(complaint(sys.stdin.read()) or 0)
