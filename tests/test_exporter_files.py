"""The filter exporter_files."""

from exporter_files import exporter_files, exporter_folders, exporter_tls_arguments

TLS = {"authority": "/ca.crt", "certificate": "/host.crt", "key": "/host.key", "group": "tls"}


def test_only_an_exporter_that_shares_a_package_has_a_service_of_its_own():
    node, locks = {"name": "node", "address": "a:1"}, {"name": "redis-locks", "address": "a:2", "package": "redis"}
    assert [(file["path"], file["template"]) for file in exporter_files([node, locks], {})] == [
        (
            "/etc/systemd/system/prometheus-node-exporter.service.d/sandbox.conf",
            "prometheus-node-exporter.service.d/sandbox.conf.j2",
        ),
        ("/etc/default/prometheus-node-exporter", "exporter.j2"),
        ("/etc/systemd/system/prometheus-redis-locks-exporter.service", "exporter.service.j2"),
        ("/etc/default/prometheus-redis-locks-exporter", "exporter.j2"),
    ]


def test_each_file_is_made_of_its_own_exporter():
    exporters = [{"name": "node", "address": "a:1"}, {"name": "process", "address": "a:2"}]
    assert [file["vars"]["instance"] for file in exporter_files(exporters, {}) if "vars" in file] == exporters


def test_what_is_added_to_a_packages_service_has_its_folder():
    folders = exporter_folders(["node", "process"])
    files = exporter_files([{"name": "node", "address": "a:1"}, {"name": "process", "address": "a:2"}], {})
    added = {file["path"].rpartition("/")[0] for file in files if file["path"].endswith("/sandbox.conf")}
    assert {folder["path"] for folder in folders} == added


def test_passwords_are_a_file_that_no_diff_shows():
    exporter = {"name": "redis-a", "address": "a:1", "package": "redis", "passwords": {"redis://a:6379": "s3cret"}}
    (secret,) = [file for file in exporter_files([exporter], {}) if file["path"].endswith(".json")]
    assert (secret["content"], secret["diff"]) == ('{"redis://a:6379": "s3cret"}\n', False)
    assert (secret["group"], secret["mode"]) == ("prometheus", "0640")


def test_an_exporter_finds_its_certificate_in_a_file_or_by_arguments_of_its_own():
    node, locks = {"name": "node", "address": "a:1"}, {"name": "redis-locks", "address": "a:2", "package": "redis"}
    place = "/etc/default/prometheus-node-exporter-web.yml"
    assert exporter_tls_arguments(node, TLS) == [f"--web.config.file={place}"]
    assert exporter_tls_arguments(locks, TLS) == [
        "--tls-server-cert-file=/host.crt",
        "--tls-server-key-file=/host.key",
    ]
    paths = [file["path"] for file in exporter_files([node, locks], TLS) if file["path"].endswith("-web.yml")]
    assert paths == [place]


def test_without_tls_no_exporter_has_an_argument_for_it():
    assert exporter_tls_arguments({"name": "node", "address": "a:1"}, {}) == []
