"""The filter redis_files."""

from redis_files import redis_files


def test_each_instance_has_a_file_of_its_own_that_no_diff_shows():
    instances = [{"name": "results", "port": 1}, {"name": "locks", "port": 2}]
    files = redis_files(instances)
    assert [file["path"] for file in files] == ["/etc/redis/redis-results.conf", "/etc/redis/redis-locks.conf"]
    assert [file["vars"]["store"] for file in files] == instances
    assert {(file["diff"], file["mode"]) for file in files} == {(False, "0640")}
