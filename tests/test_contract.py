"""Every role keeps the contract: it says what it accepts, and it knows nothing of the others.

Variables are found by parsing Jinja, not by searching text: a word in a comment, a path or a module's name is no
variable.
"""

import contextlib
import dataclasses
import functools
import ipaddress
import itertools
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import jinja2
import kit
import pytest

sys.path.append(str(kit.PROJECT / "plugins/module_utils"))

from warren import inputs

PROJECT = Path(__file__).resolve().parents[1]


ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir() if path.is_dir())
REQUIRED_FILES = [
    "README.md",
    "meta/main.yml",
    "meta/argument_specs.yml",
    "defaults/main.yml",
    "tasks/main.yml",
    "tasks/health.yml",
]
# Keys of a task whose value is an expression without braces.
EXPRESSIONS = {"when", "until", "changed_when", "failed_when", "that", "var"}
BLOCKS = ("block", "rescue", "always")
# A task that edits a file in place does not know what the file says in the end.
FORBIDDEN_MODULES = {"lineinfile", "blockinfile", "replace"}
# Filters and tests whose first argument is a regular expression.
PATTERN_TAKERS = {"match", "search", "regex", "regex_findall", "regex_replace", "regex_search"}
JINJA = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])


@dataclasses.dataclass(frozen=True)
class Role:
    """What a role's files say, read once."""

    name: str

    @property
    def path(self) -> Path:
        return PROJECT / "roles" / self.name

    def files(self, *folders: str) -> list[Path]:
        """The files below some folders of the role."""
        return sorted(path for folder in folders for path in (self.path / folder).rglob("*") if path.is_file())

    @functools.cached_property
    def options(self) -> dict:
        return load(self.path / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]

    @functools.cached_property
    def defaults(self) -> dict:
        return load(self.path / "defaults/main.yml") or {}

    @functools.cached_property
    def tasks(self) -> list[tuple[str, dict]]:
        """Every task and handler of the role, blocks and what is in them included, with the file it is in."""
        found = []
        for path in self.files("tasks", "handlers"):
            found += [(str(path.relative_to(self.path)), task) for task in flatten(load(path) or [])]
        return found

    @functools.cached_property
    def rules(self) -> list[dict]:
        """The rules for the role's inputs."""
        path = self.path / "vars/rules.yml"
        return load(path).get(f"__{self.name}_rules", []) if path.exists() else []

    @functools.cached_property
    def defined(self) -> set[str]:
        """The variables that the role itself defines: in vars/, in a task's `vars`, registered, or by set_fact."""
        names = {name for path in self.files("vars") for name in load(path) or {}}
        for _, task in self.tasks:
            # Ansible's own say how a task reaches its host.
            own = {name for name in task.get("vars") or {} if not name.startswith("ansible_")}
            names |= own - set(given(task))
            names |= {task["register"]} if "register" in task else set()
            for key, value in task.items():
                if module(key) == "set_fact":
                    names |= set(value) - {"cacheable"}
        return names

    @functools.cached_property
    def used(self) -> dict[str, str]:
        """Every name that an expression of the role reads, with a file that does."""
        found = {}
        for path in self.files("defaults", "tasks", "handlers", "vars", "templates"):
            where = str(path.relative_to(self.path))
            expressions = [path.read_text()] if path.suffix == ".j2" else expressions_of(load(path))
            for expression in expressions:
                found |= {name: where for name in names_in(expression)}
        return found


@functools.cache
def role_named(name: str) -> Role:
    """The role, read once for all tests."""
    return Role(name)


@functools.cache
def load(path: Path):
    """Read a YAML file. What only Ansible understands, such as !vault, is not expected in a role."""
    return kit.load_yaml(path.read_text())


def flatten(tasks: list[dict]) -> Iterator[dict]:
    """Yield the tasks of a list, and those inside blocks."""
    for task in tasks:
        yield task
        for part in BLOCKS:
            yield from flatten(task.get(part) or [])


def module(key: str) -> str:
    """The last part of a module's name: `ansible.builtin.copy` is `copy`."""
    return key.rpartition(".")[2]


def called(task: dict) -> dict:
    """What a task says of the role that it calls, its `name` and perhaps `tasks_from`; {} if it calls none."""
    return next((value for key, value in task.items() if module(key) in ("include_role", "import_role")), {})


def given(task: dict) -> dict:
    """The inputs that a task gives to the role that it calls."""
    role = called(task).get("name")
    return {name: value for name, value in (task.get("vars") or {}).items() if role and name.startswith(f"{role}_")}


def expressions_of(value, bare: bool = False) -> Iterator[str]:
    """Yield every string of a YAML document that Ansible would template, each as a Jinja template."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from expressions_of(item, bare=key in EXPRESSIONS)
    elif isinstance(value, list):
        for item in value:
            yield from expressions_of(item, bare)
    elif isinstance(value, str) and (bare or "{{" in value or "{%" in value):
        yield value if "{{" in value or "{%" in value else "{{ " + value + " }}"


def parsed(template: str) -> jinja2.nodes.Template:
    """Parse a Jinja template, by the delimiters that its first line may name.

    Ansible leaves the backslashes of strings alone, which Jinja would halve.
    """
    options, text = kit.header_of(template)
    return JINJA.overlay(**options).parse(text.replace("\\", "\\\\"))


def names_in(template: str) -> set[str]:
    """The names that a Jinja template reads."""
    return {node.name for node in parsed(template).find_all(jinja2.nodes.Name) if node.ctx == "load"}


def every_option(options: dict, parent: str = "") -> Iterator[tuple[str, dict]]:
    """Yield every option and suboption with its path, such as `rabbitmq_users.name`."""
    for name, option in options.items():
        yield parent + name, option
        yield from every_option(option.get("options", {}), f"{parent}{name}.")


@pytest.fixture(params=ROLES)
def role(request) -> Role:
    """Each role in turn."""
    return role_named(request.param)


@pytest.mark.parametrize("file", REQUIRED_FILES)
def test_the_role_has_the_file(role, file):
    """A reader who knows one role finds their way in the next."""
    if role.name in inputs.CALLED_ROLES and file == "tasks/health.yml":
        return
    assert (role.path / file).is_file(), f"roles/{role.name}/{file} is missing"


def test_the_defaults_agree_with_the_spec(role):
    """An option that is not required has its default in both files, and it is the same one."""
    in_spec = {name: option["default"] for name, option in role.options.items() if "default" in option}
    undeclared = role.defaults.keys() - role.options.keys()
    assert not undeclared, f"defaults/main.yml sets what the spec does not declare: {sorted(undeclared)}"
    assert role.defaults.keys() == in_spec.keys(), "only one of defaults/main.yml and the spec has a default"
    for name, default in in_spec.items():
        assert (type(default), default) == (type(role.defaults[name]), role.defaults[name]), name


def test_an_option_is_required_or_has_a_default(role):
    """A required option has no default, in no file. One that is neither would be undefined when a template reads it."""
    for name, option in role.options.items():
        required = option.get("required", False)
        assert required != ("default" in option), f"{name} needs either `required: true` or a default"
        assert not (required and name in role.defaults), f"{name} is required, so defaults/main.yml must not set it"


def test_every_option_says_its_type_and_its_meaning(role):
    """The README's table and the errors of a wrong inventory are made of these."""
    for path, option in every_option(role.options):
        assert "type" in option, f"{path} has no type"
        description = option.get("description", "")
        last = description[-1] if isinstance(description, list) else description
        assert last.strip().endswith("."), f"the description of {path} does not end with a full stop"


def test_every_option_belongs_to_the_role(role):
    """An option's prefix tells whose it is."""
    foreign = [name for name in role.options if not name.startswith(f"{role.name}_")]
    assert not foreign


def test_every_variable_is_declared(role):
    """What the role reads under its own name is an option in the spec, or defined by the role itself."""
    own = {name: file for name, file in role.used.items() if re.match(f"_*{role.name}_", name)}
    unknown = {name: file for name, file in own.items() if name not in role.options.keys() | role.defined}
    assert not unknown, f"neither in meta/argument_specs.yml nor defined by the role: {unknown}"


def test_every_option_is_used(role):
    """An option that no expression reads promises what the role does not do."""
    unused = role.options.keys() - role.used.keys()
    assert not unused


def test_no_variable_name_is_computed(role):
    """A name that is put together at run time is found neither by a search nor by these tests."""
    computed = re.compile(r"""lookup\(\s*['"](ansible\.builtin\.)?vars['"]|(?<![\w.])vars\[""")
    found = [
        path.name
        for path in role.files("defaults", "tasks", "handlers", "vars", "templates")
        if computed.search(path.read_text())
    ]
    assert not found


def test_what_the_role_defines_is_marked_as_its_own(role):
    """A variable that a role defines carries its name, so that it cannot collide with another role's."""
    foreign = [name for name in role.defined if not re.match(f"(__)?{role.name}_", name)]
    assert not foreign


def test_the_role_reads_no_groups_and_no_cluster_variables(role):
    """Only wiring.yml knows who is where; so a role can be used and tested alone."""
    shared = {name: file for name, file in role.used.items() if re.match("(cluster|secrets?|wiring)_", name)}
    assert not shared, f"make it an input of the role and set it in wiring.yml: {shared}"
    groups = {name: file for name, file in role.used.items() if name in ("groups", "group_names")}
    assert not groups, f"the role reads group names: {groups}"


def test_the_role_reads_no_other_roles_variables(role):
    """What two roles need comes from cluster.yml, as an input of each."""
    others = "|".join(name for name in ROLES if name != role.name)
    foreign = {name: file for name, file in role.used.items() if re.match(f"_*({others})_", name)}
    assert not foreign, f"make it an input of the role and set it in wiring.yml: {foreign}"


def test_a_role_that_calls_another_gives_it_its_inputs(role):
    """All that it requires, and nothing that it does not know. Only the roles that are made for it may be called."""
    for file, task in role.tasks:
        name = called(task).get("name")
        if not name:
            continue
        assert name in inputs.CALLED_ROLES, f"{file}: {task['name']}"
        options = role_named(name).options
        assert given(task).keys() <= options.keys(), f"{file}: {task['name']}"
        # Where nothing is run, less is asked for.
        if called(task).get("tasks_from") not in ("start", "absent", "settings"):
            required = {option for option, spec in options.items() if spec.get("required")}
            assert required <= given(task).keys(), f"{file}: {task['name']}"


def test_the_role_mentions_no_cluster_variable_and_no_other_roles_option(role):
    """Nor does a comment or a string. Only the message of a failure may, as it says what to type in the inventory.

    A role that calls another names the inputs that it gives.
    """
    words = set(kit.kit_variables("cluster", "secrets"))
    words |= {name for other in ROLES if other != role.name for name in role_named(other).options}
    # `rabbitmq_prometheus` is a plugin and `cluster_status` a command: only names that somebody defines are meant.
    mention = re.compile(rf"\b({'|'.join(map(re.escape, sorted(words)))}|groups\[)")
    allowed = {message for _, task in role.tasks for message in fail_messages(task)}
    allowed |= {rule["message"] for rule in role.rules}
    # What to do instead of a setting that nobody may make.
    allowed |= {
        instead for path in role.files("vars") for instead in load(path).get(f"__{role.name}_reserved", {}).values()
    }
    # Where to correct what supervisord cannot run, for such a message.
    allowed |= {load(path).get(f"__{role.name}_named_in", "") for path in role.files("vars")}
    found = {}
    for path in role.files("defaults", "files", "handlers", "meta", "tasks", "templates", "vars"):
        text = " ".join(path.read_text().split())
        for message in allowed:
            text = text.replace(" ".join(message.split()), "")
        for name in {name for _, task in role.tasks for name in given(task)}:
            text = text.replace(f" {name}:", "")
        found |= {match[1]: str(path.relative_to(role.path)) for match in mention.finditer(text)}
    assert not found


def fail_messages(task: dict) -> Iterator[str]:
    """What a task says when it fails: an assert's fail_msg, the msg of `fail`, those of rules, or a called role's."""
    if f"{called(task).get('name')}_inputs" in given(task):
        yield task["vars"][f"{called(task)['name']}_inputs"]
    for key, arguments in task.items():
        name = {"assert": "fail_msg", "fail": "msg"}.get(module(key))
        if name and name in arguments:
            yield arguments[name]
        if key == "check_inputs":
            yield from (rule["message"] for rule in arguments.get("rules", []))


def test_no_task_ignores_errors_or_edits_files_in_place(role):
    """An ignored error is found later, elsewhere. A file is a template or is left alone."""
    for file, task in role.tasks:
        assert "ignore_errors" not in task, f"{file}: {task['name']}"
        forbidden = FORBIDDEN_MODULES & {module(key) for key in task}
        assert not forbidden, f"{file}: {task['name']} uses {forbidden}; write the whole file with template or copy"


def test_every_task_has_a_name_that_starts_with_a_capital_letter(role):
    """A run is read by its task names."""
    unnamed = [
        f"{file}: {task.get('name', task)}" for file, task in role.tasks if not task.get("name", "")[:1].isupper()
    ]
    assert not unnamed


def test_the_main_task_file_is_a_table_of_contents(role):
    """Each step is another file, in order, and the name says what happens there: a newcomer sees the whole job."""
    steps = load(role.path / "tasks/main.yml")
    own = [step["name"] for step in steps if not {module(key) for key in step} & {"import_tasks", "include_tasks"}]
    assert not own, f"move into a file beside main.yml: {own}"
    assert len(steps) <= 10
    assert len((role.path / "tasks/main.yml").read_text().splitlines()) <= 40


def test_preflight_knows_what_the_role_observes(role):
    """In a run that has done something before, preflight would take it for a mistyped input."""
    own = {name for name in role.defined if not name.startswith("__")} - role.options.keys()
    assert own - set(inputs.OBSERVED) == set()


def test_the_table_of_parts_says_what_the_role_has(role):
    if role.name in inputs.CALLED_ROLES:
        return
    (part,) = [part for part in kit.PARTS if part["role"] == role.name]
    files = {"preflight": "tasks/preflight.yml", "health": "tasks/health.yml", "status": "vars/status.yml"}
    assert set(part["has"]) == {name for name, file in files.items() if (role.path / file).exists()}
    assert "health" in part["has"] or "status_shows_health" not in part


def test_the_site_is_deployed_in_the_order_of_the_table_of_parts():
    """Each role in the play of its group, once."""
    found = []
    for play in load(PROJECT / "playbooks/site.yml"):
        names = [entry["role"] for entry in play.get("roles", [])]
        for task in play.get("tasks", []):
            imported = task.get("ansible.builtin.import_role", {})
            names += [imported["name"]] if imported and "tasks_from" not in imported else []
        found += [(name, play["hosts"]) for name in names]
    assert [name for name, _ in found] == [part["role"] for part in kit.PARTS]
    for (name, hosts), part in zip(found, kit.PARTS, strict=True):
        # A scheduler is removed where the inventory has it no longer.
        assert hosts == ("celery" if name == "celery_beat" else part["group"]), name


def test_every_play_and_task_of_the_playbooks_has_a_name():
    """A run is read by its names."""
    for path in sorted((PROJECT / "playbooks").rglob("*.yml")):
        if path.parent.name == "vars":
            continue
        for play in load(path):
            tasks = [task for part in ("pre_tasks", "tasks", "post_tasks", "handlers") for task in play.get(part) or []]
            for item in [play, *flatten(tasks)]:
                assert item.get("name", "")[:1].isupper(), f"{path.relative_to(PROJECT)}: {item.get('name', item)}"


def patterns_in(template: str) -> Iterator[str]:
    """The regular expressions that a Jinja template gives to filters and tests, also through `map` and the like."""
    for node in parsed(template).find_all((jinja2.nodes.Filter, jinja2.nodes.Test)):
        words = [node.name, *(argument.value for argument in node.args if isinstance(argument, jinja2.nodes.Const))]
        yield from (pattern for name, pattern in itertools.pairwise(words) if name in PATTERN_TAKERS)


def test_every_regular_expression_means_what_it_says():
    """The operator would see a warning of `re`, and a backslash doubled once too often matches nothing."""
    for folder in ("roles", "playbooks", "inventory", "molecule"):
        for path in (PROJECT / folder).rglob("*.yml"):
            # Those are for other programs.
            if path.parent.name == "files":
                continue
            for pattern in (found for text in expressions_of(load(path)) for found in patterns_in(text)):
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    re.compile(pattern)
                assert "\\\\" not in pattern, f"{path}: {pattern}"


def test_the_wiring_holds_no_address():
    """Addresses have one home, the inventory; the loopback's is no host's."""
    text = (kit.KIT_INVENTORY / "wiring.yml").read_text().replace("127.0.0.1", "")
    found = re.findall(r"\b(?:\d{1,3}\.){3}\d{1,3}\b", text)
    for word in re.findall(r"[0-9A-Fa-f:]{2,}", text):
        with contextlib.suppress(ValueError):
            found.append(str(ipaddress.IPv6Address(word.removesuffix(":"))))
    assert not found


def test_the_tables_of_inputs_in_the_readmes_are_fresh():
    """Each README shows the inputs of the present spec."""
    script = PROJECT / "tests/role_readme.py"
    check = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert check.returncode == 0, f"type `python tests/role_readme.py`; stale: {check.stdout}{check.stderr}"


def test_the_page_of_ports_is_fresh():
    check = subprocess.run(
        [sys.executable, PROJECT / "tests/ports_page.py", "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, f"type `python tests/ports_page.py`; {check.stdout}{check.stderr}"


def written(task: dict) -> Iterator[dict]:
    """What a task writes into files: for each its `content`, or the name of its template as `src`."""
    for key, arguments in task.items():
        if module(key) in ("template", "copy") and isinstance(arguments, dict):
            yield arguments
        elif key == "config_files":
            files = arguments.get("files", [])
            for file in files if isinstance(files, list) else [{"content": files}]:
                yield file | {"src": file["template"]} if "template" in file else file


def test_each_input_that_holds_a_password_is_marked(role):
    """Ansible would show its value when it checks the inputs. URLs of brokers and of Redis have passwords."""
    named = re.compile(r"(password|cookie|broker_urls|redis_url)$")
    unmarked = [path for path, option in every_option(role.options) if named.search(path) and not option.get("no_log")]
    assert unmarked == []


def test_no_diff_shows_a_secret(role):
    """A file that is rendered from an input which is marked as secret is written without a diff."""
    secret = {name for name, option in role.options.items() if option.get("no_log")}
    for file, task in role.tasks:
        for arguments in written(task):
            source = role.path / "templates" / str(arguments.get("src", ""))
            text = source.read_text() if source.is_file() else str(arguments.get("content", ""))
            shown = {name for expression in [text] for name in names_in(expression)} & secret
            hidden = task.get("diff") is False or arguments.get("diff") is False
            assert not shown or hidden, f"{file}: {task['name']} shows {shown} with --diff"


def test_reads_are_done_in_check_mode_too(role):
    """Otherwise a run with --check ends at the first task that wants what a read has found."""
    for file, task in role.tasks:
        reads = task.get("changed_when") is False or any(module(key) == "uri" for key in task)
        # Some are part of what a run in check mode leaves out.
        if reads and file not in ("tasks/smoke.yml", "tasks/check_release.yml"):
            assert task.get("check_mode") is False, f"{file}: {task['name']}"


def pins(file: Path) -> set[str]:
    """The requirements of a file of pip's that name a version, without markers, extras and hashes."""
    lines = [
        line.partition(";")[0].split()[0] for line in file.read_text().splitlines() if re.match(r"[\w.-]+(\[|==)", line)
    ]
    return {re.sub(r"\[.*?\]", "", line).lower().replace("_", "-") for line in lines if "==" in line}


def test_the_lock_file_has_what_the_control_node_needs():
    """With hashes for all: pip would refuse the others, on a newcomer's machine."""
    wanted = set().union(*map(pins, [PROJECT / "requirements.txt", *PROJECT.glob("app/*/requirements.txt")]))
    assert len(wanted) > 20
    lock = PROJECT / "requirements.lock"
    assert wanted - pins(lock) == set()
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
