"""Kinds of values that an input can have, such as a port: what is wrong with a value, and what to give instead.

A kind is a name of `KINDS`, as in `cluster_amqp_port: port`, or the bounds of a number, as in `{from: 1, to: 600}`.
`{kind: ipv4, or: ""}` also allows another value. `docs/rules.md` has a list.
"""

import ipaddress
import json
import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What is wrong with a value: `why`, which may be empty, and what to `give` instead."""

    give: str
    why: str = ""


def fault_of(kind: str | Mapping[str, Any], value: object) -> Fault | None:
    """Return what is wrong with a value, or None.

    :param kind: a name of `KINDS`, or a mapping with `from` and `to`, the bounds of a number, or with `kind`; `or` is
        one more value that is right.
    :raises KeyError: there is no such kind.
    """
    of = {"kind": kind} if isinstance(kind, str) else kind
    if "or" in of and value == of["or"]:
        return None
    if "kind" in of:
        return KINDS[of["kind"]].fault(value)
    return _number(value, of["from"], of["to"])


def type_fault(wanted: str, name: str, value: object) -> Fault | None:
    """Return what is wrong with a value by its type, or None. Nothing is converted: a template would use it as it is.

    :param wanted: a type of Ansible's argument specifications.
    :param name: what to type after `-e` for the value; empty if it lies within another.
    """
    has = _type_of(value)
    # In the place of a text, a number is written as its digits.
    if wanted not in GIVE or has == wanted or (has, wanted) in (("int", "float"), ("int", "str"), ("float", "str")):
        return None
    if has == "str" and wanted in ("int", "float", "bool"):
        meant = _meant(str(value), wanted)
        if meant is None:
            return Fault(GIVE[wanted])
        after = f", or after -e as `-e '{json.dumps({name: meant})}'`" if name else ""
        return Fault(f"{GIVE[wanted]}: {json.dumps(meant)} without quotes{after}", "a text")
    return Fault(GIVE[wanted], CALLED[has])


GIVE = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text, in quotes",
    "list": "a list, such as [one, two]",
    "dict": "a mapping, such as {name: value}",
}
CALLED = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping",
    "NoneType": "nothing",
}


def _type_of(value: object) -> str:
    for type_, name in (
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (Mapping, "dict"),
        (list, "list"),
    ):
        if isinstance(value, type_):
            return name
    return "NoneType" if value is None else "list"


def _meant(text: str, wanted: str) -> Any:
    """Return the number or the truth that a text means, or None."""
    if wanted == "bool":
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(text.lower())
    try:
        return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text) if wanted == "float" else None
    except ValueError:
        return None


def _number(value: object, least: float, most: float) -> Fault | None:
    give = f"a number from {_figure(least)} to {_figure(most)}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fault(give)
    return None if least <= value <= most else Fault(give)


def _figure(number: float) -> str:
    """Return a number with its digits in groups of three."""
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


@dataclass(frozen=True)
class Kind:
    """A kind of value: what to `give`, what `fault` finds, and, for the documentation, a value that is wrong."""

    give: str
    fault: Callable[[object], Fault | None]
    wrong: object


KINDS: dict[str, Kind] = {}


def _kind(name: str, give: str, wrong: object, *, of: tuple[str, ...] = ("str",)) -> Callable:
    """Make a kind of a function that returns whether a value is right, or why it is not.

    :param of: the types that such a value may have.
    """

    def add(right: Callable[[Any], bool | str]) -> Callable:
        def fault(value: object) -> Fault | None:
            if (has := _type_of(value)) not in of:
                quotes = ", in quotes" if "str" in of and has in ("bool", "int", "float") else ""
                return Fault(give + quotes, CALLED[has])
            said = right(value)
            return None if said is True else Fault(give, said or "")

        KINDS[name] = Kind(give, fault, wrong)
        return right

    return add


@_kind("port", "a port, a number from 1 to 65535", 70000, of=("int",))
def _port(number: int) -> bool:
    return 1 <= number <= 65535


@_kind("ipv4", "an IPv4 address of its own, such as 192.0.2.11", "mq1.example.com")
def _ipv4(text: str) -> bool | str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if ":" in text and _ipv4(text.partition(":")[0]) is True:
            return "an address with a port"
        if "/" in text:
            return "an address with a prefix"
        return "not an address" if re.fullmatch(r"[0-9.]+", text) else "not an address but a name"
    if address.version == 6:
        return "an IPv6 address, which the kit does not support"
    if address.is_multicast or address.is_unspecified or address == ipaddress.ip_address("255.255.255.255"):
        return "no address that one host can have"
    return True


@_kind("address", "an IPv4 or IPv6 address", "mq1.example.com")
def _address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


@_kind("bind", "an IPv4 address or a name of the host, without a port", "192.0.2.1:5555")
def _bind(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text))


@_kind("endpoint", "an address with a port, such as `198.51.100.51:9093`", "http://192.0.2.7:9093")
def _endpoint(text: str) -> bool:
    found = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:([0-9]{1,5})", text)
    return bool(found) and 1 <= int(found[2]) <= 65535


@_kind("line", "a text without line breaks", "shop\nuser=root")
def _line(text: str) -> bool | str:
    return "a text with a line break" if re.search(r"[\r\n\0]", text) else True


@_kind("text", "a text that is not empty, without line breaks", "")
def _text(text: str) -> bool | str:
    return "empty" if not text.strip() else _line(text)


LETTERS = "letters, digits, `.`, `_` and `-`"


def _plain(text: str, most: int = 200) -> bool | str:
    """Return whether a text is a name that shells, URLs, supervisord and regular expressions take as it is."""
    if not text:
        return "empty"
    if len(text) > most:
        return f"{len(text)} characters long"
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text))


@_kind(
    "queue",
    f"a name of {LETTERS}, 200 characters at most, that does not begin like Celery's or RabbitMQ's own",
    "mail,sms",
)
def _queue(text: str) -> bool | str:
    if "," in text:
        return "two queues to Celery"
    if re.match(r"(?i)amq\.|celeryev|warren-", text) or text.endswith("celery.pidbox"):
        return "a name that is taken"
    return _plain(text)


@_kind("program", f"a name of {LETTERS}, 64 characters at most, but not `all`", "mail:out")
def _program(text: str) -> bool | str:
    return "what supervisorctl calls every program" if text == "all" else _plain(text, 64)


@_kind("folder_name", f"a name of {LETTERS}, 64 characters at most, as folders have it", "../../srv/shop")
def _folder_name(text: str) -> bool | str:
    return _plain(text, 64)


@_kind("vhost", f"a name of {LETTERS} and `/`, 128 characters at most", 'my"vhost')
def _vhost(text: str) -> bool | str:
    return text == "/" or _plain(text.replace("/", "."), 128)


@_kind(
    "database",
    "a name of lower-case letters, digits, `_` and `-`, 63 characters at most, that PostgreSQL does not use itself",
    "postgres",
)
def _database(text: str) -> bool | str:
    if text in ("postgres", "template0", "template1", "public", "none") or text.startswith("pg_"):
        return "PostgreSQL's own"
    return bool(re.fullmatch(r"[a-z_][a-z0-9_-]{0,62}", text))


@_kind("module", "what `celery -A` takes, such as shop, shop.celery or shop.celery:app", "shop/celery.py")
def _module(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?", text, re.ASCII))


@_kind("variable", "a name of letters, digits and `_` that does not begin with a digit", "SHOP-KEY")
def _variable(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text))


@_kind("interface", "the name of a network interface, such as eth0", "eth0;reboot")
def _interface(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_.@-]{1,15}", text))


@_kind("plugin", "the name of a plugin of RabbitMQ, such as rabbitmq_prometheus", "rabbitmq-prometheus,rabbitmq_top")
def _plugin(text: str) -> bool:
    return bool(re.fullmatch(r"[a-z][a-z0-9_]*", text))


@_kind("task", "a task's name or a glob, without spaces", "shop pay")
def _task(text: str) -> bool:
    return bool(re.fullmatch(r"[^\s'\"`\\]+", text))


@_kind("url_path", "a path that begins with a slash, such as /healthz", "healthz")
def _url_path(text: str) -> bool:
    return bool(re.fullmatch(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*", text))


@_kind(
    "url_prefix",
    "a path of letters, digits, `_`, `-` and `/` without a slash at either end, such as flower",
    "/flower",
)
def _url_prefix(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", text))


@_kind("url", "a URL, such as http://192.0.2.1:8000/healthz", "192.0.2.1:8000healthz")
def _url(text: str) -> bool:
    return bool(re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/\S*)?", text))


@_kind("path", "an absolute path, such as /usr/bin/python3.12", "bin/python3")
def _path(text: str) -> bool | str:
    return "a path with `..`" if ".." in text.split("/") else bool(re.fullmatch(r"/[^\s'\"`\\$;]*", text))


@_kind("interpreter", "a command such as python3.12, or its absolute path", "python3 -I")
def _interpreter(text: str) -> bool | str:
    return _path(text) if "/" in text else bool(re.fullmatch(r"[A-Za-z0-9._-]+", text))


@_kind("package", "the name of a Debian package, such as libpq5", "libpq5, gcc")
def _package(text: str) -> bool:
    return bool(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?", text))


@_kind("requirement", "a requirement as pip takes it, such as gunicorn or `gunicorn==23.0.0`", "-r more.txt")
def _requirement(text: str) -> bool:
    return bool(re.match(r"[A-Za-z0-9]", text)) and _line(text) is True


@_kind("redis_size", "a size of 1mb or more with its unit, mb or gb, such as 256mb", 64)
def _redis_size(text: str) -> bool | str:
    if re.fullmatch(r"[0-9]+", text):
        return "a number of bytes"
    return bool(re.fullmatch(r"[1-9][0-9]*(mb|gb)", text, re.IGNORECASE))


@_kind("broker_size", "a size with its unit, such as 512MB or 2GB", "2 gigabytes")
def _broker_size(text: str) -> bool | str:
    if re.fullmatch(r"[0-9]+", text):
        return "a number of bytes"
    return bool(re.fullmatch(r"[1-9][0-9]*(k|ki|M|Mi|G|Gi|T|Ti|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)", text))


@_kind("mirrors", "`all`, or a number of copies, 2 or more, without quotes", 1, of=("str", "int"))
def _mirrors(copies: str | int) -> bool | str:
    if isinstance(copies, str):
        return copies == "all" or ("a text" if copies.isdigit() else False)
    return copies >= 2 or "no second copy"


@cache
def _time_zones() -> set[str]:
    """Return the time zones that this machine knows."""
    return zoneinfo.available_timezones()


@_kind("time_zone", "a time zone such as Europe/Berlin, or Etc/UTC", "Moon/Crater")
def _time_zone(text: str) -> bool | str:
    # Where this machine has none, only a host can say.
    known = _time_zones()
    return text in known if known else bool(re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", text))


@_kind("calendar", "a time as systemd's OnCalendar takes it, such as `Mon 03:00`", "at night; reboot")
def _calendar(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9*,.:/~ +_-]+", text))


@_kind("value", "a text or a number", True, of=("str", "int", "float"))
def _value(value: str | float) -> bool | str:
    return "a text with a zero byte" if "\0" in str(value) else True


def faults(
    name: str, value: Any, spec: Mapping[str, Any], kinds: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Fault]]:
    """Yield what is wrong with an input: where, in words for a sentence; the value there; and the fault.

    :param spec: of the input, as an argument specification has it.
    :param kinds: what may be where: paths below the input, such as `` (itself) or `*.name`, and kinds.
    """
    wrong = list(_wrong_types(f"`{name}`", name, value, spec))
    yield from wrong
    said = [where for where, _, _ in wrong]
    for path, kind in kinds.items():
        for where, inner in values_at(name, value, path.split(".") if path else []):
            if where not in said and (fault := fault_of(kind, inner)):
                yield where, inner, fault


def _wrong_types(where: str, name: str, value: Any, spec: Mapping[str, Any]) -> Iterator[tuple[str, Any, Fault]]:
    """Yield what has the wrong type, or is none of the choices, in an input and below it."""
    if fault := _misfit(spec, name, value):
        yield where, value, fault
        return
    entries = [(where, value)]
    if spec.get("elements") == "dict":
        entries = list(values_at(name, value, ["*"]))
    elif "choices" in spec and isinstance(value, list):
        yield from ((where, entry, fault) for entry in value if (fault := _choice(spec, entry)))
    for at, entry in entries:
        if spec.get("elements") == "dict" and (fault := type_fault("dict", name, entry)):
            yield at, entry, fault
        elif isinstance(entry, Mapping):
            for option, of_option in spec.get("options", {}).items():
                if entry.get(option) is not None and (fault := _misfit(of_option, "", entry[option])):
                    yield f"`{option}` of {at}", entry[option], fault


def _misfit(spec: Mapping[str, Any], name: str, value: Any) -> Fault | None:
    """Return what is wrong with a value by the type and the choices of its specification."""
    fault = type_fault(spec.get("type", "str"), name, value)
    if not fault and spec.get("no_log") and spec.get("type") == "str" and not isinstance(value, str):
        fault = Fault("a text, in quotes", CALLED[_type_of(value)])
    return fault if fault or spec.get("type") == "list" else _choice(spec, value)


def _choice(spec: Mapping[str, Any], value: Any) -> Fault | None:
    if "choices" in spec and value not in spec["choices"]:
        return Fault(f"one of {', '.join(map(str, spec['choices']))}")
    return None


def values_at(name: str, value: Any, path: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield what lies at a path below an input, each with where it is, in words for a sentence.

    :param name: of the input.
    :param path: names of keys; `*` is each entry of a list or each value of a mapping, `?` each key of a mapping.
    """
    yield from _below(value, path, f"`{name}`")


def _below(value: Any, path: list[str], where: str) -> Iterator[tuple[str, Any]]:
    if not path:
        yield where, value
        return
    key, *rest = path
    if key == "*" and isinstance(value, list):
        for number, entry in enumerate(value, 1):
            name = entry.get("name") if isinstance(entry, Mapping) and rest != ["name"] else None
            yield from _below(entry, rest, f"{name if isinstance(name, str) else f'entry {number}'} in {where}")
    elif key in ("*", "?") and isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _below(
                *((entry, rest, f"`{name}` of {where}") if key == "*" else (name, rest, f"a name in {where}"))
            )
    elif isinstance(value, Mapping) and key in value:
        yield from _below(value[key], rest, f"`{key}` of {where}")
