"""What is wrong with the inputs of roles, in sentences. For the action plugins that check inputs."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader

from . import roles
from .inventory_rules import few
from .kinds import Fault, faults
from .rules import Derived, Sources, names_of, wrong_by
from .secrets import NO_PASSWORD

MOST_SHOWN = 60
# More would scroll away.
MOST_SENTENCES = 100
# Values of inputs with such names may hold a secret.
HIDDEN = re.compile(
    r"password|secret|cookie|_urls?$|_users$|(app|build|release)_environment$|commands?$|config$|instances$|databases$"
)


class Complaints:
    """What is wrong, in sentences, with the hosts that have it in common."""

    def __init__(self, everyone: Collection[str]):
        """Take the names of all hosts."""
        self._everyone = everyone
        self._hosts_of: dict[tuple[str, str], list[str]] = {}
        # Names of wrong facts, which all hosts share, and of groups without their hosts.
        self.wrong: set[str] = set()
        self._wrong_on: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._hosts_of)

    def say(self, text: str, names: Collection[str] = ()) -> None:
        """Add a sentence as it is, and the names that nothing should be derived from."""
        self._hosts_of.setdefault((text, ""), [])
        self.wrong.update(names)

    def about(self, host: str, name: str, subject: str, text: str) -> None:
        """Add a sentence about an input of a host: its subject, before the hosts' names, and what comes after."""
        self._hosts_of.setdefault((subject, text), []).append(host)
        self._wrong_on.setdefault(host, set()).add(name)

    def wrong_on(self, host: str) -> set[str]:
        """Return the names of what is wrong on a host, of its own or of all."""
        return self.wrong | self._wrong_on.get(host, set())

    def wrong_value(
        self, host: str, name: str, value: Any, spec: Mapping, kinds: Mapping, subject: str = "", more: str = ""
    ) -> bool:
        """Say what is wrong with the value of an input; returns whether anything is.

        :param subject: what to call the input, if it is another one that has the value.
        :param more: what else to say.
        """
        wrong = list(faults(name, value, spec, kinds))
        for where, inner, fault in wrong:
            # Names are no secrets.
            secret = not where.startswith("a name in ") and bool(spec.get("no_log", False) or HIDDEN.search(name))
            self.about(host, name, subject or where, in_words(inner, fault, secret)[:-1] + more + ".")
        return bool(wrong)

    def unfit(self, host: str, values: Mapping[str, Any], specs: Mapping[str, Mapping], otherwise: str) -> bool:
        """Say which inputs are missing, and which have options that do not exist; returns whether any is wrong.

        :param otherwise: what is wrong when a message names no input.
        """
        # It converts a copy.
        messages = ArgumentSpecValidator(specs).validate(values, validate_role_argument_spec=True).error_messages
        for message in messages:
            name = max((name for name in specs if name in message), key=len, default=otherwise)
            self.about(host, name, "Correct these inputs", f"in the inventory or its group_vars: {message}.")
        return bool(messages)

    def sentences(self) -> list[str]:
        """Return the sentences, not too many."""
        return some(
            [
                f"{subject}{self._of(list(dict.fromkeys(hosts)))} {text}".strip()
                for (subject, text), hosts in self._hosts_of.items()
            ]
        )

    def _of(self, hosts: list[str]) -> str:
        """Return ` of w1, w2`; nothing where it is so everywhere."""
        return "" if not hosts or set(hosts) == set(self._everyone) else f" of {few(hosts)}"


def some(sentences: list[str]) -> list[str]:
    """Return sentences, and in place of too many how many more there are."""
    more = len(sentences) - MOST_SENTENCES
    return [*sentences[:MOST_SENTENCES], f"{more} more like these."] if more > 0 else sentences


def shown(value: object) -> str:
    """Return a value for a sentence, without the login of a URL."""
    text = re.sub(r"//[^/@\s]*@", "//…@", repr(value))
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def in_words(value: object, fault: Fault, secret: bool) -> str:
    """Return what comes after the subject of a sentence.

    :param secret: whether the value must not be shown.
    """
    if fault.says:
        return fault.says
    why = f", {fault.why}" if fault.why else ""
    return f"is {'not what it should be' if secret else shown(value)}{why}; give it {fault.give}."


def not_evaluated(name: str, error: AnsibleError) -> str:
    """Return what comes after the subject of a sentence about an expression that fails."""
    first = next(line for line in str(error).splitlines() if line.strip())
    reason = re.sub(r"^(Error while resolving value for '[^']*': |Finalization of .*? failed: )+", "", first).rstrip(
        "."
    )
    if "no vault secrets" in reason.lower() or "decrypt" in reason.lower():
        return f"is encrypted, and {NO_PASSWORD}"
    if "recursive loop" in reason.lower():
        instead = "Give it a value of its own in the inventory or its group_vars."
        return f"follows from itself, perhaps through others. {instead}"
    if HIDDEN.search(name):
        # The reason may quote the value.
        return "cannot be evaluated: correct it in the inventory or its group_vars."
    if undefined := re.match(r"'(\w+)' is undefined", reason):
        return (
            f"cannot be evaluated, as `{undefined[1]}` is not defined: define that, or correct the value of `{name}`."
        )
    return f"cannot be evaluated: {reason}. Correct it in the inventory or its group_vars."


# What was found right for some host: the value of an input, or nothing for what else was checked. By what was checked,
# and by what that depends on: 300 hosts that differ in a name and an address have the same in almost everything.
Right = dict[tuple[Any, ...], Any]


def check_role(
    role: str,
    host: str,
    given: dict[str, Any],
    loader: DataLoader,
    templar_for: Callable[..., Any],
    said: Complaints,
    known: Right,
) -> None:
    """Say what is wrong with the inputs of a role on a host, except those that follow from wrong ones.

    :param given: the host's variables, as they are written.
    :param templar_for: returns a templar for some `available_variables`.
    :param known: what was right for other hosts, to which this adds. Their variables must still exist.
    """
    files = ["rules.yml"] if roles.has_rules(role) else []
    variables = roles.variables_of(loader, role, given, *files)
    derived, sources = Derived(variables, said.wrong_on(host)), Sources(variables)
    options = {name: of for name, of in roles.options_of(role).items() if not derived.from_wrong(name)}
    templar = templar_for(available_variables=variables)
    right: dict[str, Any] = {}
    for name in [name for name in options if name in variables]:
        key = (role, name, sources.of([name]))
        if key not in known:
            try:
                value = templar.template(variables[name])
            except AnsibleError as error:
                said.about(host, name, f"`{name}`", not_evaluated(name, error))
                continue
            if said.wrong_value(host, name, value, options[name], roles.kinds_of(role, name)):
                continue
            known[key] = value
        right[name] = known[key]
    unknown = options.keys() & variables.keys() - right.keys()
    fitting = {name: of for name, of in options.items() if name not in unknown}
    key = (role, frozenset(fitting), sources.of(right))
    if key not in known and not said.unfit(host, right, fitting, role):
        known[key] = None
    if files:
        derived = Derived(variables, said.wrong_on(host))
        rules = {
            (role, rule["name"], sources.of(names_of(rule))): rule
            for rule in variables.get(f"__{role}_rules", [])
            if not derived.judges_wrong(rule)
        }
        new = {key: rule for key, rule in rules.items() if key not in known}
        sentences = wrong_by(list(new.values()), variables | right, templar_for)
        for sentence in sentences:
            said.say(sentence)
        if not sentences:
            known |= dict.fromkeys(new)
