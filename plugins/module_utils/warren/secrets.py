"""Rules for the cluster's secrets: what is wrong with one, in sentences that say what to type and never show it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What the place of a secret takes."""

    shortest: int
    longest: int
    # A regular expression for one character, and how a sentence names these characters.
    character: str
    characters: str
    # What prints one that fits.
    command: str

    @property
    def length(self) -> str:
        """The length that it must have, for a sentence."""
        if self.shortest == self.longest:
            return f"{self.shortest} characters"
        return f"{self.shortest} to {self.longest} characters"


# Erlang takes no longer cookie. Redis and the pages of Flower, HAProxy and RabbitMQ take as many guesses as somebody
# sends: 12 letters and digits are beyond that. rabbitmqctl cuts white space off the ends of what it reads, keepalived
# ends a word at a space, and beyond ASCII HTTP clients and servers do not agree on an encoding.
ORDINARY = Kind(12, 255, "[!-~]", "letters, digits and punctuation of ASCII, without spaces", "openssl rand -base64 24")
# VRRP sends eight bytes. In keepalived's configuration a double quote ends the password, and nothing escapes it.
VRRP = Kind(8, 8, r"[!#-\[\]-~]", f"{ORDINARY.characters}, double quotes and backslashes", "openssl rand -base64 6")
KINDS = {"secret_keepalived": VRRP}

LINE_BREAK = r"[\r\n]"
# Characters that a place may not take, and how a sentence names them.
CLASSES = [
    (LINE_BREAK, "a line break"),
    (r"[^\S\r\n]", "white space"),
    ('"', "a double quote"),
    (r"\\", "a backslash"),
    (r"[\x00-\x08\x0e-\x1f\x7f]", "a control character"),
    (r"[^\x00-\x7f]", "a letter or sign beyond ASCII"),
]

# Fewer different characters are one or two that somebody has repeated.
FEWEST_DIFFERENT = 4
# What somebody tries first, as are runs of neighbours on a keyboard.
# fmt: off
WORDS = [
    "abc123", "admin", "administrator", "celery", "changeit", "changeme", "cookie", "default", "demo", "django",
    "dragon", "erlang", "example", "flower", "foobar", "guest", "haproxy", "iloveyou", "keepalived", "letmein",
    "master", "monkey", "monitor", "pass", "passw0rd", "passwd", "password", "postgres", "postgresql", "qwerty",
    "rabbit", "rabbitmq", "redis", "root", "secret", "sesame", "shadow", "sunshine", "super", "test", "toor",
    "user", "vrrp", "warren", "welcome",
]
# fmt: on
RUNS = ("1234567890" * 3, "abcdefghijklmnopqrstuvwxyz" * 2, "qwertyuiopasdfghjklzxcvbnm" * 2)
# Such words, with digits and punctuation between and around them.
KNOWN = re.compile(rf"[\W\d_]*((change|me|my|the|{'|'.join(WORDS)})[\W\d_]*)+")


# What comes after "is encrypted, and".
NO_PASSWORD = (
    "no password was given that opens it: add `--ask-vault-pass` or `--vault-password-file FILE` to the command."
)


def secret_problems(secrets: Mapping[str, object]) -> list[str]:
    """Return a sentence for each secret that is unfit, and for those that are the same; an empty list: all are fit.

    A sentence names the variable, what is wrong and what to type. None contains a value, or a part of one.

    :param secrets: every `secret_*` variable of a host, by its name: what it evaluates to, or the exception that
        evaluating it has raised.
    """
    said = [sentence for name, value in sorted(secrets.items()) for sentence in _problem(name, value)]
    names_of: dict[str, list[str]] = {}
    for name, value in sorted(secrets.items()):
        if isinstance(value, str) and value.strip():
            names_of.setdefault(value, []).append(f"`{name}`")
    return said + [
        f"{', '.join(names[:-1])} and {names[-1]} are the same, so whoever learns one knows the others: give each its "
        f"own, such as what `{ORDINARY.command}` prints."
        for names in names_of.values()
        if len(names) > 1
    ]


def _problem(name: str, value: object) -> Iterator[str]:
    """Yield a sentence if the value of a variable is unfit."""
    kind = KINDS.get(name, ORDINARY)
    if isinstance(value, Exception):
        yield _unreadable(name, value)
    elif value is None or (isinstance(value, str) and not value.strip()):
        yield (
            f"`{name}` is empty: type `{kind.command}` and set it to what that prints, in quotes; or take it out of "
            "your inventory, and the kit makes one."
        )
    elif not isinstance(value, str):
        what = "a number" if isinstance(value, int | float) and not isinstance(value, bool) else "no text"
        yield f"`{name}` is {what}: write it in single quotes, `{name}: '…'`."
    elif faults := list(_faults(value, kind)):
        yield (
            f"`{name}` {' and '.join(faults)}: type `{kind.command}` and set it to what that prints, in quotes. It "
            f"takes {kind.length}: {kind.characters}."
        )


def _faults(text: str, kind: Kind) -> Iterator[str]:
    """Yield what is wrong with a text, as the end of a sentence whose beginning is the variable's name."""
    inner = text.strip()
    if inner != text:
        ends = text.replace(inner, "", 1)
        yield f"begins or ends with {'a line break' if re.search(LINE_BREAK, ends) else 'white space'}"
    unfit = re.sub(kind.character, "", inner)
    yield from (f"has {named}" for pattern, named in CLASSES if re.search(pattern, unfit))
    if len(inner) < kind.shortest:
        yield "is too short"
    if len(inner) > kind.longest:
        yield "is too long"
    if _known(inner):
        yield "is known to everybody who guesses"


def _known(text: str) -> bool:
    lower = text.lower()
    return len(set(text)) < FEWEST_DIFFERENT or any(lower in run for run in RUNS) or KNOWN.fullmatch(lower) is not None


def _unreadable(name: str, error: Exception) -> str:
    """Return a sentence for a variable that Ansible cannot evaluate, without Ansible's, which may quote it."""
    if "crypt" in str(error):
        return f"`{name}` is encrypted, and {NO_PASSWORD}"
    return (
        f"`{name}` cannot be read: if it has `{{{{`, `{{%` or `{{#`, with which Ansible begins an expression, write "
        f"`!unsafe` before it, `{name}: !unsafe '…'`."
    )
