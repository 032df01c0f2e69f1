"""Rules about inputs: what is wrong, in sentences that say what to type. For the action plugins that check inputs."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ansible.errors import AnsibleError

NEEDED = {"name", "that", "message"}


def checked(rules: Any) -> list[dict]:
    """Return rules that have what they need, and no more.

    :raises ValueError: when they have not.
    """
    if not all(isinstance(rule, dict) and NEEDED <= rule.keys() <= NEEDED | {"loop"} for rule in rules):
        raise ValueError("Each rule needs name, that and message, and may have loop.")
    return rules


def wrong_by(rules: list[dict], variables: Mapping[str, Any], templar_for: Callable[..., Any]) -> list[str]:
    """Return a sentence for each broken rule, each once; where none is, one for each that cannot be checked.

    :param rules: each has `name`, what is wanted; `that`, an expression or a list of some; `message`, what to say where
        it is not so, which is filled in only then; and perhaps `loop`, values that are checked one by one as `item`.
    :param templar_for: returns a templar for some `available_variables`.
    """
    broken, unknown = [], []
    for rule in rules:
        try:
            broken += _broken(rule, variables, templar_for)
        except AnsibleError as error:
            unknown.append(f"It cannot be checked whether {rule['name']}: {error}")
    # A broken rule may be why another cannot be checked. One about programs says the same of each.
    return list(dict.fromkeys(broken or unknown))


def _broken(rule: dict, variables: Mapping[str, Any], templar_for: Callable[..., Any]) -> Iterator[str]:
    """Yield what is wrong by one rule.

    :raises AnsibleError: when an expression cannot be evaluated.
    """
    wanted = rule["that"] if isinstance(rule["that"], list) else [rule["that"]]
    items = templar_for(available_variables=variables).template(rule["loop"]) if "loop" in rule else [None]
    for item in items:
        templar = templar_for(available_variables=variables | ({"item": item} if "loop" in rule else {}))
        if not all(templar.evaluate_conditional(expression) for expression in wanted):
            yield str(templar.template(rule["message"])).strip()


class Derived:
    """Which variables follow from others, by the names in their expressions."""

    def __init__(self, variables: Mapping[str, Any], wrong: Collection[str]):
        """Take the variables as they are written, and the names of those that are wrong."""
        self._variables, self._wrong = variables, frozenset(wrong)
        self._found: dict[str, bool] = {}

    def from_wrong(self, name: str) -> bool:
        """Return whether a variable is wrong, or follows from one that is."""
        if not self._wrong or name in self._wrong:
            return bool(self._wrong)
        if name not in self._found:
            # For one that follows from itself.
            self._found[name] = False
            self._found[name] = any(map(self.from_wrong, names_in(self._variables.get(name))))
        return self._found[name]

    def judges_wrong(self, rule: Mapping[str, Any]) -> bool:
        """Return whether a rule looks at a variable that follows from a wrong one."""
        return any(map(self.from_wrong, names_of(rule)))


# An expression with one of these may name variables that only its result shows, as in lookup('vars', 'size_' ~ size).
NAMED_WHILE_FILLED_IN = frozenset({"vars", "varnames", "template"})


class Sources:
    """What the values of variables depend on, by the names in their expressions."""

    def __init__(self, variables: Mapping[str, Any]):
        """Take the variables as they are written."""
        self._variables = variables
        self._found: dict[frozenset[str], frozenset[tuple[str, int]]] = {}

    def of(self, names: Collection[str]) -> frozenset[tuple[str, int]]:
        """Return the variables that some follow from, themselves included, each with the identity of what is written.

        Where two hosts have the same, the same comes out: nothing that is written for one of them alone is among it.
        """
        if (key := frozenset(names)) not in self._found:
            seen: set[str] = set()
            todo = list(key)
            while todo:
                if (name := todo.pop()) not in seen:
                    seen.add(name)
                    todo += names_in(self._variables.get(name))
            if seen & NAMED_WHILE_FILLED_IN:
                seen.add("inventory_hostname")
            self._found[key] = frozenset((name, id(self._variables[name])) for name in seen & self._variables.keys())
        return self._found[key]


def names_of(rule: Mapping[str, Any]) -> frozenset[str]:
    """Return every word of the expressions that decide whether a rule is broken."""
    wanted = rule["that"] if isinstance(rule["that"], list) else [rule["that"]]
    return names_in(["{{" + str(text) for text in wanted] + [rule.get("loop", "")])


def names_in(value: Any) -> frozenset[str]:
    """Return every word of the expressions in a value, perhaps a list or a mapping; other texts have no words."""
    if isinstance(value, str):
        return _words(str(value))
    # Ansible's `hostvars` are a mapping, too, but no dict.
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return frozenset().union(*map(names_in, values))


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[A-Za-z_]\w*", text)) if "{{" in text or "{%" in text else frozenset()
