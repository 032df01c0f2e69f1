"""What every host has."""

import json

import pytest


def test_no_unit_has_failed(member):
    assert member.run("systemctl list-units --failed --plain --no-legend") == ""


def test_every_host_of_the_cluster_resolves(member):
    for name, address in member.expect("host_addresses").items():
        assert member.run("getent ahostsv4 %s", name).split()[0] == address


@pytest.mark.disruptive
def test_a_line_of_somebodys_own_stays_and_the_kits_are_put_right(playbook, all_members):
    member = all_members[-1]
    name, address = next(iter(member.expect("host_addresses").items()))
    member.run("sh -c %s", "echo '192.0.2.77 nas' >> /etc/hosts")
    member.run("sed -i %s /etc/hosts", f"/ {name}$/d")
    try:
        playbook("playbooks/site.yml", "--tags", "host", "--limit", member.name)
        assert member.run("getent ahostsv4 nas").split()[0] == "192.0.2.77"
        assert member.run("getent ahostsv4 %s", name).split()[0] == address
        _, recap = playbook("playbooks/site.yml", "--tags", "host", "--limit", member.name)
        assert recap[member.name]["changed"] == 0
    finally:
        member.run("sed -i %s /etc/hosts", "/ nas$/d")


def test_time_zone(member):
    assert member.host.file("/etc/localtime").linked_to == f"/usr/share/zoneinfo/{member.expect('host_timezone')}"
    assert member.run("date +%Z") == "UTC"


def test_a_service_gets_the_limit_of_open_files(member):
    limit = member.run("systemd-run --quiet --wait --pipe sh -c 'ulimit -Hn'")
    assert int(limit) == member.expect("host_open_files_limit")


def test_the_kernel_has_the_settings_that_a_container_may_make(member):
    """The lab's hosts are containers: what they share with their machine is not theirs to set."""
    wanted = {
        "net.core.somaxconn": "host_listen_backlog",
        "net.ipv4.tcp_max_syn_backlog": "host_listen_backlog",
        "net.ipv4.tcp_keepalive_time": "host_tcp_keepalive_idle_seconds",
    }
    for name, variable in wanted.items():
        assert int(member.run("sysctl -n %s", name)) == member.expect(variable), name


def test_no_host_sets_what_belongs_to_the_containers_machine(member):
    assert member.run("systemd-detect-virt --container")
    assert "vm.swappiness" not in member.host.file("/etc/sysctl.d/60-warren.conf").content_string


def test_a_service_may_have_so_many_processes(member):
    limit = member.run("systemd-run --quiet --wait --pipe sh -c 'systemctl show --property=DefaultTasksMax --value'")
    assert int(limit) == member.expect("host_tasks_limit")


def test_the_journal_survives_a_restart_and_has_a_size(member):
    assert member.run("sh -c 'ls /var/log/journal'")
    said = member.run("systemd-analyze cat-config systemd/journald.conf")
    assert f"SystemMaxUse={member.expect('host_journal_max_megabytes')}M" in said


def test_every_log_is_rotated(member):
    """By logrotate, by supervisord, or it is the journal's; those of the package manager and of logins are Debian's."""
    logs = set(member.run("find /var/log -name '*.log' -not -path '/var/log/apt/*' -not -name dpkg.log").split())
    rotated = member.run("sh -c 'logrotate --debug /etc/logrotate.conf 2>&1'")
    by_itself = ("/var/log/celery/", "/var/log/supervisor/")
    assert [log for log in logs if log not in rotated and not log.startswith(by_itself)] == []


def test_no_update_installs_itself(member):
    """Nobody asked for that on the lab."""
    assert 'APT::Periodic::Unattended-Upgrade "0";' in member.run("apt-config dump")


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_security_updates_leave_the_services_alone(workers, playbook):
    """Switched on by an input, and off again."""
    host = workers[0]
    on = json.dumps({"host_unattended_upgrades": True})
    playbook("playbooks/site.yml", "--tags", "host", "--limit", host.name, "-e", on)
    try:
        said = host.run("unattended-upgrade --dry-run --debug", seconds=300)
        codename = host.run("sed -n s/^VERSION_CODENAME=//p /etc/os-release").strip()
        assert f"Allowed origins are: origin=Debian,codename={codename}-security,label=Debian-Security\n" in said
        for package in host.expect("host_unattended_upgrades_excluded"):
            assert package in said.partition("Initial blacklist:")[2].splitlines()[0]
        assert 'APT::Periodic::Unattended-Upgrade "1";' in host.run("apt-config dump")
    finally:
        playbook("playbooks/site.yml", "--tags", "host", "--limit", host.name)
    test_no_update_installs_itself(host)


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_a_kernel_setting_that_somebody_has_changed_is_told_and_repaired(brokers, playbook):
    member = brokers[0]
    member.run("sysctl -w net.core.somaxconn=128")
    output, _ = playbook("playbooks/verify.yml", "--limit", member.name, expect_success=False)
    assert "net.core.somaxconn is 128, not 4096" in output
    assert "sysctl --load=/etc/sysctl.d/60-warren.conf" in output
    member.run("sysctl --load=/etc/sysctl.d/60-warren.conf")
    assert member.run("sysctl -n net.core.somaxconn") == "4096"


# The units that the kit writes or adds to, with their instances.
UNITS = (
    "cd /etc/systemd/system; grep -ls '^# Ansible managed' *.service *.service.d/*.conf |"
    " sed 's#[.]d/.*##; s/@[.]/@*./' | xargs systemctl show --property=Id | sed -n 's/^Id=//p' | sort -u"
)


def test_no_service_of_the_kit_may_do_what_it_needs_not(member):
    """Where systemd weighs what a service may do, from 0 to 10, none has more than 5."""
    units = member.run("sh -c %s", UNITS).split()
    assert len(units) > 1
    said = {unit: member.run("systemd-analyze security --no-pager %s", unit).splitlines()[-1] for unit in units}
    # Debian's own; the kit only has it load the firewall again.
    said.pop("nftables.service", None)
    exposed = {unit: line for unit, line in said.items() if float(line.split(": ")[1].split()[0]) > 5}
    assert exposed == {}
