"""What every host has."""


def test_no_unit_has_failed(member):
    assert member.run("systemctl list-units --failed --plain --no-legend") == ""


def test_every_host_of_the_cluster_resolves(member):
    for name, address in member.expect("host_addresses").items():
        assert member.run("getent ahostsv4 %s", name).split()[0] == address


def test_time_zone(member):
    assert member.host.file("/etc/localtime").linked_to == f"/usr/share/zoneinfo/{member.expect('host_timezone')}"
    assert member.run("date +%Z") == "UTC"


def test_a_service_gets_the_limit_of_open_files(member):
    limit = member.run("systemd-run --quiet --wait --pipe sh -c 'ulimit -Hn'")
    assert int(limit) == member.expect("host_open_files_limit")
