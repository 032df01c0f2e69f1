"""Kinds of values that an input can have, such as a port: what is wrong with a value, and what to give instead.

A kind is a name of `KINDS`, as in `cluster_amqp_port: port`, or the bounds of a number, as in `{from: 1, to: 600}`.
`{kind: ipv4, or: ""}` also allows another value. `docs/rules.md` has a list.
"""

import datetime
import difflib
import ipaddress
import json
import re
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What is wrong with a value: `why`, which may be empty, and what to `give` instead.

    `says`, if it is not empty, is said in place of the value and of both.
    """

    give: str
    why: str = ""
    says: str = ""


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
        fault = KINDS[of["kind"]].fault(value)
        # Whoever leaves out the value may mean the other one.
        return (
            replace(fault, give=f"{fault.give}, or {json.dumps(of['or'])}")
            if fault and value is None and "or" in of
            else fault
        )
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
    "date": "a date",
    "list": "a list",
    "dict": "a mapping",
    "NoneType": "nothing",
    "other": "none of these",
}


def _type_of(value: object) -> str:
    for type_, name in (
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (datetime.date, "date"),
        (Mapping, "dict"),
        (list, "list"),
    ):
        if isinstance(value, type_):
            return name
    if value is None:
        return "NoneType"
    return "list" if isinstance(value, Collection) else "other"


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
                quotes = (
                    ", in quotes"
                    if "str" in of and "quotes" not in give and has in ("bool", "int", "float", "date")
                    else ""
                )
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
    if not text.strip():
        return "empty"
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return _no_address(text)
    if address.version == 6:
        return "an IPv6 address, which the kit does not support"
    nobodys = (
        address.is_multicast or address.is_unspecified or address.is_reserved or address.is_link_local
    ) or text.startswith("0.")
    return "no address that one host can have in a network" if nobodys else True


def _no_address(text: str) -> str:
    """Return what a text is that is no address."""
    figures = r"([0-9]{1,3}[.]){3}[0-9]{1,3}"
    if re.fullmatch(rf"{figures}:.*", text):
        return "an address with a port"
    if re.fullmatch(rf"{figures}/.*", text):
        return "an address with a prefix"
    if re.fullmatch(rf"\s*{figures}\s*", text) and text != text.strip():
        return "an address with white space around it"
    if re.fullmatch(figures, text) and re.search(r"\b0[0-9]", text):
        return "an address with a leading zero"
    return (
        "not an address" if re.fullmatch(r"[0-9.,]+", text) or re.search("@|//", text) else "not an address but a name"
    )


@_kind("address", "an IPv4 or IPv6 address", "mq1.example.com")
def _address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


@_kind("network", "an IPv4 or IPv6 address, or a network such as 192.0.2.0/24", "192.0.2.1/24")
def _network(text: str) -> bool:
    try:
        return bool(ipaddress.ip_network(text))
    except ValueError:
        return False


@_kind("bind", "an IPv4 address or a name of the host, without a port", "192.0.2.1:5555")
def _bind(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text))


@_kind("endpoint", "an address with a port, such as `198.51.100.51:9093`", "http://192.0.2.7:9093")
def _endpoint(text: str) -> bool:
    found = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:([0-9]{1,5})", text)
    return bool(found) and 1 <= int(found[2]) <= 65535


@_kind("host_name", "a host's name, such as broker.example.com", "-rabbit_mq")
def _host_name(text: str) -> bool:
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return len(text) <= 253 and bool(re.fullmatch(rf"{label}(\.{label})*", text))


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
def _module(text: str) -> bool | str:
    if text.endswith(".py"):
        return "a file"
    return bool(re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?", text, re.ASCII))


@_kind(
    "setting",
    "a setting's name in lower-case letters, digits and `_`, as Celery has it since its version 4",
    "CELERY_ACKS",
)
def _setting(text: str) -> bool:
    return bool(re.fullmatch(r"[a-z_][a-z0-9_]*", text))


@_kind("command", "a command, one text that is not empty, in quotes", " ")
def _command(text: str) -> bool | str:
    return bool(text.strip()) or "empty"


@_kind("variable", "a name of letters, digits and `_` that does not begin with a digit", "SHOP-KEY")
def _variable(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text))


@_kind("interface", "the name of a network interface, such as eth0", "eth0;reboot")
def _interface(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_.@-]{1,15}", text))


@_kind("plugin", "the name of a plugin of RabbitMQ, such as rabbitmq_prometheus", "rabbitmq-prometheus,rabbitmq_top")
def _plugin(text: str) -> bool:
    return bool(re.fullmatch(r"[a-z][a-z0-9_]*", text))


@_kind("glob", "a task's name, or a glob with `*`, without spaces and commas", "shop pay")
def _glob(text: str) -> bool | str:
    if re.fullmatch(r"[^\s,]+,\s*[^\s,]+", text):
        return "two names"
    if re.search(r"[?\[]", text) and "*" not in text:
        return "no glob to Celery"
    return bool(re.fullmatch(r"[^\s'\"`\\,]+", text))


@_kind("task", "a task's name, such as shop.tasks.pay", "shop pay")
def _task(text: str) -> bool | str:
    if re.search(r"[*?\[]", text):
        return "a glob, and one task is sent"
    return "a file" if text.endswith(".py") else _glob(text)


@_kind(
    "route",
    "a task's name or a glob, without spaces and commas, or {task: NAME, priority: NUMBER}",
    5,
    of=("str", "dict"),
)
def _route(route: str | Mapping) -> bool | str:
    # What a mapping holds is judged with the queue's highest priority.
    return "empty" if not route else isinstance(route, Mapping) or _glob(route)


@_kind("queues", "a list of queues with one at least, each once", [], of=("list",))
def _queues(names: list) -> bool | str:
    if not names:
        return "empty"
    twice = [name for name in names if names.count(name) > 1]
    return f"a list with {twice[0]} more than once" if twice else True


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
def _requirement(text: str) -> bool | str:
    if re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?[ ,]+[A-Za-z0-9]", text):
        return "two requirements"
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


CALENDARS = r"(minute|hour|week|month|quarter|year)ly|daily|semiannually|annually"
WEEKDAYS = r"(?i:((mon|tue|wed|thu|fri|sat|sun)[a-z]*|,|[.][.])+)"


@_kind("calendar", "a time as systemd's OnCalendar takes it, such as `Mon 03:00`", "at night; reboot")
def _calendar(text: str) -> bool | str:
    if re.fullmatch(r"[0-9*/,-]+( +[0-9A-Za-z*/,-]+){4}", text.strip()):
        return "a crontab"
    known = re.fullmatch(f"{CALENDARS}|{WEEKDAYS}", text) or re.search(r"[0-9*]", text)
    late = re.search(r"\b(2[4-9]|[3-9][0-9]):", text)
    return bool(known) and not late and bool(re.fullmatch(r"[A-Za-z0-9*,.:/~ +_-]+", text))


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
    wrong = {where: (inner, fault) for where, inner, fault in _wrong_types(f"`{name}`", name, value, spec)}
    for path, kind in kinds.items():
        for where, inner in values_at(name, value, path.split(".") if path else []):
            # A kind says more than that it is a text.
            judged = wrong[where][1].give != GIVE["str"] if where in wrong else any(map(where.endswith, wrong))
            if not judged and (fault := fault_of(kind, inner)):
                wrong[where] = inner, fault
    yield from ((where, inner, fault) for where, (inner, fault) in wrong.items())


def _wrong_types(where: str, name: str, value: Any, spec: Mapping[str, Any]) -> Iterator[tuple[str, Any, Fault]]:
    """Yield what has the wrong type, or is none of the choices, in an input and below it."""
    if fault := _misfit(spec, name, value):
        yield where, value, fault
    elif isinstance(value, list):
        of_entry = {key: spec[key] for key in ("options", "choices", "required_together") if key in spec}
        for at, entry in _below(value, ["*"], where):
            yield from _wrong_types(at, "", entry, {"type": spec.get("elements", "raw"), **of_entry})
    elif isinstance(value, Mapping) and "options" in spec:
        yield from _halves(where, value, spec.get("required_together", []))
        yield from _wrong_options(where, value, spec["options"])


def _halves(where: str, value: Mapping, together: list[list[str]]) -> Iterator[tuple[str, Any, Fault]]:
    """Yield what a mapping lacks of options that belong together, of which it may have all or none.

    Only those for TLS do, which the kit's wiring fills in with `cluster_tls`.
    """
    for names in together:
        missing = [name for name in names if name not in value]
        if 0 < len(missing) < len(names):
            these = "that" if len(missing) == 1 else "these"
            lacks = ", ".join(f"`{name}`" for name in missing)
            says = f"lacks {lacks}; leave it out, and set `cluster_tls`, or give it {these} as well."
            yield where, value, Fault("", says=says)


def _wrong_options(where: str, value: Mapping, options: Mapping[str, Any]) -> Iterator[tuple[str, Any, Fault]]:
    """Yield what is wrong with a mapping of which the names are known."""
    for option in (option for option in value if option not in options):
        nearest = difflib.get_close_matches(str(option), options, 1)
        meant = f": is it `{nearest[0]}`? There are" if nearest else ": choose from"
        says = f"is no option{meant} {', '.join(options)}."
        yield f"`{option}` of {where}", value[option], Fault("", says=says)
    for option, spec in options.items():
        at = f"`{option}` of {where}"
        if option not in value:
            if spec.get("required"):
                yield at, None, Fault("", says=f"is missing; give it {_wanted(spec)}.")
        elif value[option] is None and not spec.get("required"):
            yield at, None, Fault(f"{_wanted(spec)}, or leave it out", CALLED["NoneType"])
        else:
            yield from _wrong_types(at, "", value[option], spec)


def _misfit(spec: Mapping[str, Any], name: str, value: Any) -> Fault | None:
    """Return what is wrong with a value by the type and the choices of its specification."""
    fault = type_fault(spec.get("type", "str"), name, value)
    if not fault and spec.get("no_log") and spec.get("type") == "str" and not isinstance(value, str):
        fault = Fault("a text, in quotes", CALLED[_type_of(value)])
    if fault and fault.give == GIVE["str"]:
        return replace(fault, give=_wanted(spec))
    return fault if fault or spec.get("type") == "list" else _choice(spec, value)


def _wanted(spec: Mapping[str, Any]) -> str:
    """Return what to give by the type and the choices of a specification."""
    return _one_of(spec["choices"]) if "choices" in spec else GIVE.get(spec.get("type", "str"), "a value")


def _one_of(choices: list) -> str:
    return f"one of {', '.join(map(str, choices))}"


def _choice(spec: Mapping[str, Any], value: Any) -> Fault | None:
    if "choices" in spec and value not in spec["choices"]:
        return Fault(_one_of(spec["choices"]))
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
