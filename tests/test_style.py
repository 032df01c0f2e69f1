"""What no linter holds of the house's style: Jinja that can be read, and lines that fit on a screen."""

import contextlib
import re
import subprocess
from collections.abc import Iterator

import jinja2
import kit
from kit import PROJECT
from test_contract import expressions_of, parsed

MOST_FILTERS = 4
LONGEST_LINE = 140
WRITTEN_BY_PROGRAMS = (".lock", ".json", ".svg")
# Prometheus' own templates, in braces as well.
NOT_JINJA = {"alerts_test.yml"}


def files(suffix: str) -> Iterator[tuple[str, str]]:
    """Yield each file of the repository with this suffix, except those in hidden folders: its path and its text."""
    for path in sorted(PROJECT.rglob(f"*{suffix}")):
        name = path.relative_to(PROJECT)
        if not any(part.startswith(".") for part in name.parts):
            yield name.as_posix(), path.read_text()


def tracked() -> Iterator[tuple[str, str]]:
    """Yield each text file that git knows, hidden ones too: its path and its text."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True).stdout
    for name in names.decode().rstrip("\0").split("\0"):
        with contextlib.suppress(UnicodeDecodeError, FileNotFoundError):
            yield name, (PROJECT / name).read_text()


def test_no_line_is_long():
    """What a program has printed, and rows of tables, are as long as they are; so are files that programs write."""
    found = [
        f"{name}: {line}"
        for name, text in tracked()
        if not name.endswith(WRITTEN_BY_PROGRAMS)
        for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines()
        if len(line) > LONGEST_LINE and not (name.endswith(".md") and line.startswith("|"))
    ]
    assert found == []


def templates() -> Iterator[tuple[str, jinja2.nodes.Template]]:
    """Yield each Jinja template, whether it is a file or a text in YAML: the path of its file, and what it says."""
    for name, text in files(".j2"):
        yield name, parsed(text)
    for name, text in files(".yml"):
        if name.rpartition("/")[2] not in NOT_JINJA:
            yield from ((name, parsed(template)) for template in expressions_of(kit.load_yaml(text)))


def outermost_expressions(node: jinja2.nodes.Node) -> Iterator[jinja2.nodes.Expr]:
    """Yield the expressions below a node that are in no other one."""
    for child in node.iter_child_nodes():
        if isinstance(child, jinja2.nodes.Expr):
            yield child
        else:
            yield from outermost_expressions(child)


def filters_of(expression: jinja2.nodes.Expr) -> list[str]:
    """The filters that an expression uses, itself and all that is in it."""
    found = list(expression.find_all(jinja2.nodes.Filter))
    return [node.name for node in [expression] * isinstance(expression, jinja2.nodes.Filter) + found]


def test_filters_are_counted_in_each_expression():
    template = "{{ a | b(c | d) | e }} {{ f }} {% for g in h | i if g | j %}{{ g | k }}{% endfor %}"
    counts = [len(filters_of(expression)) for expression in outermost_expressions(parsed(template))]
    assert [count for count in counts if count] == [3, 1, 1, 1]


def test_no_expression_is_a_program():
    """What needs more filters is easier to read, and to test, as a separate filter in plugins/filter."""
    found = {
        name
        for name, template in templates()
        for expression in outermost_expressions(template)
        if len(filters_of(expression)) > MOST_FILTERS
    }
    assert found == set()


def test_the_wiring_has_expressions_only():
    """No statement, and no list that is made as text."""
    for template in expressions_of(kit.kit_variables("wiring")):
        tree = parsed(template)
        assert {type(node) for node in tree.body} == {jinja2.nodes.Output}, template
        assert "from_json" not in {node.name for node in tree.find_all(jinja2.nodes.Filter)}, template
