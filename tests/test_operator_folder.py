"""An operator's files live in a folder of their own, and a command without the kit's inventory is refused."""

import re
import shutil
import subprocess
import sys

import kit
import pytest
import yaml
from kit import KIT_INVENTORY, PROJECT
from operator_folder import FolderError, inventory_fault, operator_config, operator_folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder as `make site` makes it, for hosts that are this machine."""
    folder = tmp_path_factory.mktemp("operator") / "our shop"
    done = make_site(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert kit.warnings_in(done.stdout + done.stderr) == []
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    (folder / "group_vars/web.yml").write_text(yaml.safe_dump({"cluster_web_port": 8001}))
    path = folder / "group_vars/all/main.yml"
    path.write_text(path.read_text() + yaml.safe_dump(local))
    return folder


def make_site(folder):
    return kit.run(
        "ansible-playbook",
        "playbooks/make_site.yml",
        *kit.extra_vars(folder=folder),
        ANSIBLE_CALLBACKS_ENABLED=kit.CALLBACKS,
    )


def in_folder(folder, command, *arguments):
    """Run one of Ansible's commands as an operator does: in their folder, with nothing set."""
    return subprocess.run(
        [f"{sys.prefix}/bin/{command}", *map(str, arguments)],
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def preflight(folder, *arguments):
    here = kit.extra_vars(
        **kit.ANY_RELEASE,
        preflight_said=kit.NOTHING_THERE,
    )
    return in_folder(folder, "ansible-playbook", PROJECT / "playbooks/preflight.yml", *here, *arguments)


def said(done):
    return " ".join((done.stdout + done.stderr).split())


def test_a_new_folder_passes_preflight_as_it_is(site):
    done = preflight(site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert kit.warnings_in(done.stdout + done.stderr) == []


def test_every_playbook_finds_the_kit_from_the_folder(site):
    playbooks = sorted(
        path for path in (PROJECT / "playbooks").rglob("*.yml") if path.parent.name not in ("vars", "tasks")
    )
    done = in_folder(site, "ansible-playbook", "--syntax-check", *playbooks)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_operator_writes_wins_over_the_kit_wherever_it_stands(site):
    hosts = yaml.safe_load((site / "hosts.yml").read_text())
    hosts["all"]["vars"]["cluster_flower_port"] = 5001
    hosts["all"]["children"]["rabbitmq"]["vars"] = {"cluster_amqp_port": 5673}
    path = site / "variables.yml"
    path.write_text(yaml.safe_dump(hosts))
    words = ["-i", KIT_INVENTORY, "-i", path, "-m", "debug", "-a"]
    names = "cluster_flower_port, cluster_amqp_port, cluster_stop_grace_seconds, secrets_dir"
    done = in_folder(site, "ansible", "mq1", *words, f"msg={{{{ [{names}] }}}}")
    assert f"5001, 5673, 600, {site}/.secrets/production" in re.sub(r'["\n]|  +', "", done.stdout).replace(",", ", ")


def test_nothing_of_the_folder_is_lost_when_it_is_renewed(site):
    (site / "ansible.cfg").write_text("[warren]\nformat = 0\n[defaults]\n")
    before = {path: path.read_bytes() for path in site.rglob("*.yml")}
    done = make_site(site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in site.rglob("*.yml")} == before
    assert "format = 1" in (site / "ansible.cfg").read_text()
    # What the operator had written into it is kept beside it.
    assert "format = 0" in next(site.glob("ansible.cfg.*~")).read_text()


@pytest.mark.parametrize("folder", ["", str(PROJECT), f"{PROJECT}/inventory/shop"])
def test_a_folder_inside_of_the_kit_is_refused(folder):
    done = make_site(folder)
    assert done.returncode != 0
    assert "Name a folder outside of the kit" in said(done)
    assert "changed=0" in done.stdout


@pytest.mark.parametrize(
    ("inventories", "words"),
    [
        (["hosts.yml"], ["The kit's inventory", "must come before yours", "`-i ", "inventory/kit -i ", "hosts.yml`"]),
        (["hosts.yml", KIT_INVENTORY], ["must come before yours", "inventory/kit -i ", "hosts.yml`"]),
        ([KIT_INVENTORY], ["must come before yours", "make site DIR=FOLDER", "inventory/kit -i FILE`"]),
        ([KIT_INVENTORY, "empty.yml"], ["empty.yml has no hosts", "groups.yml"]),
    ],
)
def test_a_command_without_its_inventories_is_refused(site, inventories, words):
    (site / "empty.yml").write_text("all: {}\n")
    done = in_folder(
        site, "ansible-playbook", *kit.inventory_arguments(inventories), PROJECT / "playbooks/drills/heal.yml"
    )
    assert done.returncode != 0
    assert re.search(".*".join(map(re.escape, words)), said(done)), done.stdout + done.stderr
    assert "changed=0" in done.stdout


@pytest.mark.parametrize(
    "playbook",
    [
        *["preflight", "site", "health", "status", "verify", "management", "collect", "count", "benchmarks"],
        *[
            "benchmarks/unread_events",
            "drills/heal",
            "drills/partition",
            "drills/brokers_restarted",
            "drills/hosts_busy",
        ],
    ],
)
def test_every_playbook_begins_with_that_check(playbook):
    path = PROJECT / f"playbooks/{playbook}.yml"
    while path.name != "inventory.yml":
        path = path.parent / yaml.safe_load(path.read_text())[0]["ansible.builtin.import_playbook"]
    assert path.samefile(PROJECT / "playbooks/inventory.yml")


def test_variables_that_ansible_does_not_read_are_said(site, tmp_path):
    """Ansible leaves out a file beside a folder of the same name, and says nothing."""
    folder = tmp_path / "shop"
    shutil.copytree(site, folder)
    (folder / "group_vars/all.yml").write_text("cluster_flower_port: 5556\n")
    (folder / "host_vars/w1").mkdir(parents=True)
    (folder / "host_vars/w1.yml").write_text("cluster_flower_port: 5557\n")
    done = preflight(folder)
    assert done.returncode != 0
    for path in (folder / "group_vars/all", folder / "host_vars/w1"):
        assert f"Ansible reads no {path}.yml beside the folder {path}: move it into that folder." in said(done)


def test_a_folder_that_an_earlier_version_made_keeps_its_variables(tmp_path):
    folder = tmp_path / "shop"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "group_vars/all.yml").write_text("cluster_flower_port: 5556\n")
    assert make_site(folder).returncode == 0
    assert [path.name for path in (folder / "group_vars").iterdir()] == ["all.yml"]


@pytest.fixture(scope="module")
def vaulted(site, tmp_path_factory):
    """A copy of the folder with an encrypted file of variables, and the file of its password."""
    folder = tmp_path_factory.mktemp("vaulted") / "shop"
    shutil.copytree(site, folder)
    (folder / "password").write_text("not-this-one\n")
    (folder / "ansible.cfg").write_text(operator_config((PROJECT / "ansible.cfg").read_text(), str(PROJECT)))
    secrets = folder / "group_vars/rabbitmq/vault.yml"
    secrets.parent.mkdir()
    secrets.write_text("secret_rabbitmq_worker: kfR9/2pWq+Zt7w==\n")
    done = in_folder(folder, "ansible-vault", "encrypt", "--vault-password-file", "password", secrets)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("playbook", ["site", "status", "verify", "parked", "drills/heal"])
def test_an_encrypted_file_without_its_password_is_one_sentence(vaulted, playbook):
    done = in_folder(vaulted, "ansible-playbook", PROJECT / f"playbooks/{playbook}.yml")
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line == (
        f"[ERROR]: {vaulted}/group_vars/rabbitmq/vault.yml is encrypted, and no password was given that opens it: "
        "add `--ask-vault-pass` or `--vault-password-file FILE` to the command."
    )


def test_with_its_password_an_encrypted_file_is_read(vaulted):
    words = ["mq1", "-m", "debug", "-a", "msg={{ rabbitmq_users[0].password }}", "--vault-password-file", "password"]
    done = in_folder(vaulted, "ansible", *words)
    assert "kfR9/2pWq+Zt7w==" in done.stdout
    # What is not encrypted asks for no password.
    assert in_folder(vaulted, "ansible-vault", "decrypt", *words[-2:], "group_vars/rabbitmq/vault.yml").returncode == 0
    assert "kfR9/2pWq+Zt7w==" in in_folder(vaulted, "ansible", *words[:-2]).stdout


@pytest.mark.parametrize(("number", "words"), [(0, "older kit: type `make -C"), (99, "newer kit than")])
def test_a_folder_for_another_kit_is_refused(tmp_path, number, words):
    config = tmp_path / "ansible.cfg"
    config.write_text(f"[warren]\nformat = {number}\n")
    assert words in inventory_fault([str(KIT_INVENTORY), f"{tmp_path}/hosts.yml"], 1, str(config))


def test_an_ansible_cfg_of_somebody_else_is_taken(tmp_path):
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    for config in (str(tmp_path / "ansible.cfg"), "", str(PROJECT / "ansible.cfg")):
        assert inventory_fault([str(KIT_INVENTORY), f"{tmp_path}/hosts.yml"], 1, config) == ""


def test_the_kit_may_be_reached_by_a_link(tmp_path):
    (tmp_path / "warren").symlink_to(PROJECT)
    assert operator_folder([f"{tmp_path}/warren/inventory/kit", "/srv/shop/hosts.yml"]) == "/srv/shop"


def test_two_folders_have_different_secrets():
    folders = {
        operator_folder([str(KIT_INVENTORY), source]) for source in ("/srv/shop/hosts.yml", "/srv/mail/hosts.yml")
    }
    assert folders == {"/srv/shop", "/srv/mail"}
    with pytest.raises(FolderError):
        operator_folder(["/srv/shop/hosts.yml"])


def test_the_folders_ansible_cfg_names_no_file_of_the_kits_folder():
    text = operator_config((PROJECT / "ansible.cfg").read_text(), "../warren")
    assert "inventory = ../warren/inventory/kit,hosts.yml\n" in text
    assert "lab" not in text
    paths = re.findall(r"(?m)^\w+ = (?:\S*/)?(?:roles|plugins)\b.*", text)
    assert len(paths) > 3
    assert [line for line in paths if " = ../warren/" not in line] == []
