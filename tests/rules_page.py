"""Write docs/rules.md: what preflight refuses, and the sentence that it says for each wrong inventory of the tests.

Usage: python tests/rules_page.py
"""

import re
import sys
import tempfile
from pathlib import Path

import kit
import yaml
from wrong_inventories import CASES

sys.path.append(str(kit.PROJECT / "plugins/module_utils"))

from warren.inventory_rules import RULES
from warren.kinds import KINDS

PAGE = kit.PROJECT / "docs/rules.md"
HEAD = """# What preflight refuses

`preflight.yml`, with which `site.yml` begins, checks the whole inventory on the control node before it asks a host,
and says everything that is wrong in one list. `python tests/rules_page.py` writes this page.

- Every input has a type: `meta/argument_specs.yml` of the role says which, or `inventory/kit/inputs.yml` for
  `cluster_*`. Nothing is converted: a text is no number.
- Every number has bounds, and most texts are of a kind: `vars/rules.yml` of the role says which, or
  `inventory/kit/inputs.yml`.
- A variable that begins like the kit's, or almost, and is none, is refused; `cluster_foreign_variables` lists yours.
- What is derived from a wrong input is not judged.
"""


def page(said: dict[str, list[str]]) -> str:
    """Return the text of the page.

    :param said: what preflight says of each wrong inventory, by the case's name.
    """
    kinds = [(f"`{name}`", kind.give, f"`{_cell(repr(kind.wrong))}`") for name, kind in sorted(KINDS.items())]
    rules = [(rule.__doc__.strip(),) for rule in RULES]
    of_roles = [(name, rule["name"]) for name, rules_of in _role_rules() for rule in rules_of]
    sentences = [(case, _cell(sentence)) for case in CASES for sentence in said[case]]
    return "\n".join(
        [
            HEAD,
            "## Kinds of values\n",
            *_table(("kind", "what to give", "refused, for example"), kinds),
            "## Rules for the inventory as a whole\n",
            *_table(("rule",), rules),
            "## Rules of roles\n",
            *_table(("role", "rule"), of_roles),
            "## What it says\n",
            *_table(("what is wrong", "what preflight says"), sentences),
        ]
    )


def _role_rules() -> list[tuple[str, list[dict]]]:
    """Return the rules of each role that has some."""
    files = sorted((kit.PROJECT / "roles").glob("*/vars/rules.yml"))
    found = [(file.parents[1].name, yaml.safe_load(file.read_text())) for file in files]
    return [(name, rules[f"__{name}_rules"]) for name, rules in found if f"__{name}_rules" in rules]


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table, and an empty one."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ("---",) * len(heads), *rows)] + [""]


def _cell(text: str) -> str:
    """Return a text for a table, without the paths of the machine that made it."""
    text = re.sub(r"/\S*/inventory\.yml", "hosts.yml", text.replace(str(kit.PROJECT), "KIT"))
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    from test_preflight import check

    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(check(Path(folder), {name: changes for name, (_, changes) in CASES.items()})))
