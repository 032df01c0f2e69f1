"""Which files of a project make a release, what is wrong with one, and which version git knows."""

import re
import subprocess

import pytest
from kit import PROJECT
from warren import project, python_wanted

PYLOCK = '[[packages]]\nname = "a"\n{}\n'
PYPROJECT = '[project]\nname = "shop"\nversion = "1"\n'


def write(folder, **files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def shop(tmp_path):
    return write(
        tmp_path / "shop", **{"pyproject.toml": PYPROJECT, "shop/tasks.py": "", "requirements.txt": "celery\n"}
    )


def test_what_is_no_source_is_neither_read_nor_packed(shop):
    other = {
        name: ""
        for name in (
            ".git/HEAD",
            ".env",
            "shop/__pycache__/a.pyc",
            "web/node_modules/a.js",
            "shop.egg-info/PKG-INFO",
            "my-env/pyvenv.cfg",
            "my-env/lib/a.py",
            "build/lib/shop/tasks.py",
            "dist/shop.whl",
        )
    }
    write(shop, **other)
    assert list(project.source_files(shop)) == ["pyproject.toml", "requirements.txt", "shop/tasks.py"]


def test_a_package_that_is_called_build_or_dist_is_source(shop):
    write(shop, **{"build/__init__.py": "", "build/a.py": "", "shop/dist/a.py": "", "src/shop/build/a.py": ""})
    assert {"build/a.py", "shop/dist/a.py", "src/shop/build/a.py"} <= project.source_files(shop).keys()


def test_links_are_source_and_change_with_their_target(shop):
    (shop / "shop/linked.py").symlink_to("tasks.py")
    (shop / "other").symlink_to("shop")
    files = project.source_files(shop)
    assert (files["shop/linked.py"], files["other"]) == ("-> tasks.py", "-> shop")
    assert "other/tasks.py" not in files
    assert project.project_problems.__wrapped__(str(shop), "") == []


def test_an_absolute_link_into_the_project_is_refused(shop):
    """The build's host has the project elsewhere."""
    (shop / "common").symlink_to(shop / "shop")
    (said,) = project.project_problems.__wrapped__(str(shop), "")
    assert "which only this machine has: make it a relative link" in said


def test_a_link_that_leads_outside_is_refused(shop, tmp_path):
    (shop / "common").symlink_to(tmp_path)
    (said,) = project.project_problems.__wrapped__(str(shop), "")
    assert f"common is a link to {tmp_path}, outside the project" in said


@pytest.mark.parametrize(
    ("files", "lock", "words"),
    [
        ({}, "requirements.txt", []),
        ({}, "", []),
        ({}, "lock.txt", ["lock.txt does not exist", "`cluster_app_requirements`"]),
        (
            {"all.txt": "-r base/a.txt\n-c limits.txt\n"},
            "all.txt",
            ["base/a.txt does not exist", "limits.txt does not"],
        ),
        ({"all.txt": "--requirement=a.txt", "a.txt": "-r all.txt"}, "all.txt", []),
        ({"all.txt": "celery[redis]==5.3.6 \\\n  --hash=sha256:00"}, "all.txt", ["pins Celery 5.3;", "5.4 to 5.7"]),
        ({"all.txt": "Celery==5.8.0"}, "all.txt", ["pins Celery 5.8;"]),
        ({"all.txt": "celery==5.4.0\ncelery-redbeat==2.0\n"}, "all.txt", []),
        ({"pylock.toml": PYLOCK.format("directory = {path = '.'}")}, "pylock.toml", []),
        (
            {"pylock.toml": PYLOCK.format("directory = {path = '../lib'}")},
            "pylock.toml",
            ["../lib, outside the project"],
        ),
        (
            {"pylock.toml": PYLOCK.format("archive = {path = 'a.whl'}")},
            "pylock.toml",
            ["names a.whl, which does not exist"],
        ),
        (
            {"pylock.toml": PYLOCK.format("sdist = {path = 'a.tgz'}")},
            "pylock.toml",
            ["names a.tgz, which does not exist"],
        ),
        (
            {"pylock.toml": PYLOCK.format("wheels = [{path = '/a.whl'}]")},
            "pylock.toml",
            ["/a.whl, outside the project"],
        ),
        (
            {"pylock.toml": PYLOCK.format("archive = {path = 'dist/a.whl'}"), "dist/a.whl": ""},
            "pylock.toml",
            ["dist/a.whl, which is not packed"],
        ),
        (
            {"pylock.toml": PYLOCK.format("archive = {path = 'lib/a.whl'}"), "lib/a.whl": ""},
            "pylock.toml",
            [],
        ),
        ({"pylock.toml": "[[packages]\n"}, "pylock.toml", ["pylock.toml cannot be read"]),
        (
            {"uv.lock": '[[package]]\nname = "a"\nsource = {editable = "../a"}\n'},
            "uv.lock",
            ["../a, outside the project"],
        ),
        ({"uv.lock": '[[package]]\nname = "a"\nsource = {virtual = "."}\n'}, "uv.lock", []),
        ({"all.txt": "-e .\n./shop[fast] ; os_name == 'posix'\ncelery==5.6.3\n"}, "all.txt", []),
        ({"all.txt": "-e ../lib\n"}, "all.txt", ["../lib, outside the project"]),
        ({"all.txt": "file:///opt/lib#egg=a\n"}, "all.txt", ["file:///opt/lib, outside the project"]),
        ({"base/all.txt": "./lib  # ours\n"}, "base/all.txt", ["names ./lib, which does not exist"]),
        ({"pylock.toml": '[[packages]]\nname = "celery"\nversion = "5.3.6"\n'}, "pylock.toml", ["pins Celery 5.3;"]),
        ({"uv.lock": '[[package]]\nname = "celery"\nversion = "5.3.6"\n'}, "uv.lock", ["pins Celery 5.3;"]),
        ({"pyproject.toml": '[project]\nrequires-python = "three"\n'}, "", ["pyproject.toml cannot be read"]),
        ({"pyproject.toml": "[project\n"}, "", ["pyproject.toml cannot be read"]),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^three"\n'}, "", ["pyproject.toml cannot be read"]),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "§"\n'}, "", ["'§' is no constraint"]),
        ({"pyproject.toml": "", "setup.py": "setup(\n"}, "", ["setup.py cannot be read"]),
    ],
)
def test_what_is_wrong_with_a_project_is_said(shop, files, lock, words):
    write(shop, **files)
    said = project.project_problems.__wrapped__(str(shop), lock)
    assert len(said) == (0 if not words else len([word for word in words if "does not" in word]) or 1)
    assert all(word in " ".join(said) for word in words)


def test_quorum_queues_need_a_newer_celery(shop):
    write(shop, **{"old.txt": "celery==5.6.2\n", "new.txt": "celery==5.6.3\n"})
    problems = project.project_problems.__wrapped__
    assert problems(str(shop), "new.txt", "quorum") == problems(str(shop), "old.txt", "classic") == []
    (sentence,) = problems(str(shop), "old.txt", "quorum")
    assert "pins Celery 5.6.2, and quorum queues need 5.6.3 to 5.7: choose one of these." in sentence


@pytest.mark.parametrize(
    ("name", "text", "taken"),
    [
        ("pyproject.toml", PYPROJECT, True),
        ("pyproject.toml", f'{PYPROJECT}requires-python = ">=3.12"\n', False),
        ("pyproject.toml", f'{PYPROJECT}requires-python = ">=3.10,<4"\n', True),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.12"\n', False),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.10"\n', True),
        ("pyproject.toml", f'{PYPROJECT}[tool.poetry.dependencies]\npython = "~3.12"\n', False),
        # What the package says of itself, and not what Poetry locks for.
        (
            "pyproject.toml",
            f'{PYPROJECT}requires-python = ">=3.10"\n[tool.poetry.dependencies]\npython = "^3.12"\n',
            True,
        ),
        ("setup.cfg", "[options]\npython_requires = >=3.12\n", False),
        ("setup.py", 'import setuptools\nsetuptools.setup(name="shop", python_requires=">=3.12")\n', False),
        ("setup.py", 'from setuptools import setup\nsetup(python_requires=">=3.10")\n', True),
        # Only the build knows.
        ("setup.py", 'from setuptools import setup\nsetup(python_requires=f">=3.{12}")\n', True),
    ],
)
def test_the_python_that_a_project_wants_is_read(shop, name, text, taken):
    write(shop, **{name: text})
    assert python_wanted.takes_python(str(shop), "3.11.2") is taken


def test_the_constraint_is_shown_as_the_project_writes_it(shop):
    write(shop, **{"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.12"\n'})
    assert python_wanted.requires_python(str(shop)) == "^3.12"


# Poetry's own parser, poetry-core 2.5.0, agrees with each of these.
@pytest.mark.parametrize(
    ("constraint", "taken", "refused"),
    [
        ("^3.12", ["3.12.0", "3.13.1"], ["3.11.9", "4.0.0"]),
        ("^3.11.4", ["3.11.4", "3.13.1"], ["3.11.2", "4.0.0"]),
        ("^3", ["3.0.0", "3.13.1"], ["2.7.18", "4.0.0"]),
        ("~3.11", ["3.11.0", "3.11.9"], ["3.10.9", "3.12.0"]),
        ("~3.11.4", ["3.11.4", "3.11.9"], ["3.11.2", "3.12.0"]),
        ("~3", ["3.0.0", "3.13.1"], ["2.7.18", "4.0.0"]),
        ("3.11.*", ["3.11.2"], ["3.12.0"]),
        ("3.11", ["3.11.0"], ["3.11.2"]),
        ("*", ["2.7.18", "3.13.1"], []),
        ("", ["3.11.2"], []),
        (">=3.10,<3.13", ["3.10.0", "3.12.9"], ["3.9.9", "3.13.0"]),
        (">= 3.10, < 3.13", ["3.10.0", "3.12.9"], ["3.9.9", "3.13.0"]),
        (">=3.10 <3.13", ["3.10.0", "3.12.9"], ["3.9.9", "3.13.0"]),
        ("^3.8,!=3.9.0", ["3.8.1", "3.9.1"], ["3.9.0"]),
        ("~=3.11", ["3.11.0", "3.13.1"], ["3.10.9", "4.0.0"]),
        ("~3.9 || ^3.12", ["3.9.1", "3.13.1"], ["3.10.0", "3.11.2"]),
    ],
)
def test_constraints_of_poetry_mean_what_they_mean_there(shop, constraint, taken, refused):
    write(shop, **{"pyproject.toml": f'[tool.poetry.dependencies]\npython = "{constraint}"\n'})
    assert [version for version in taken if not python_wanted.takes_python(str(shop), version)] == []
    assert [version for version in refused if python_wanted.takes_python(str(shop), version)] == []


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("requires", "variable"),
    [
        ("setuptools-scm>=8", "SETUPTOOLS_SCM_PRETEND_VERSION"),
        ("hatch-vcs", "SETUPTOOLS_SCM_PRETEND_VERSION"),
        ("pdm-backend", "PDM_BUILD_SCM_VERSION"),
    ],
)
def test_a_version_of_git_is_handed_over(shop, requires, variable):
    write(shop, **{"pyproject.toml": f'[build-system]\nrequires = ["{requires}"]\n'})
    assert project.git_version(shop) == {variable: "0.0.0"}
    git(shop, "init")
    git(shop, "add", ".")
    git(shop, "commit", "-m", "a")
    git(shop, "tag", "v1.2.3")
    assert project.git_version(shop) == {variable: "1.2.3"}
    git(shop, "commit", "--allow-empty", "-m", "b")
    assert project.git_version(shop)[variable].startswith("1.2.4.dev1+g")


def test_a_project_that_says_its_version_needs_none(shop):
    assert project.git_version(shop) == {}


def test_preflight_and_the_build_support_the_same_celery():
    """The build's script runs on a host, where it has nothing but itself."""
    build = (PROJECT / "roles/celery_app/files/build.py").read_text()
    bounds = f"{project.OLDEST_CELERY}, {project.NEWEST_CELERY}"
    assert re.search(r"^OLDEST_CELERY, NEWEST_CELERY = (.*)$", build, re.MULTILINE)[1] == bounds
