"""The filters of redis_files.py."""

from redis_files import redis_files, redis_passwords, redis_user_files

INSTANCES = [{"name": "results", "port": 1}, {"name": "locks", "port": 2}]


def test_each_instance_has_a_file_of_its_own():
    files = redis_files(INSTANCES)
    assert [file["path"] for file in files] == ["/etc/redis/redis-results.conf", "/etc/redis/redis-locks.conf"]
    assert [file["vars"]["store"] for file in files] == INSTANCES
    assert {(file["diff"], file["mode"]) for file in files} == {(False, "0640")}


def test_each_instance_has_users_of_its_own_that_no_diff_shows():
    files = redis_user_files(INSTANCES, {"locks": "user a"})
    assert [file["path"] for file in files] == ["/etc/redis/users-results.conf", "/etc/redis/users-locks.conf"]
    assert [file["vars"] for file in files] == [
        {"store": INSTANCES[0], "there": ""},
        {"store": INSTANCES[1], "there": "user a"},
    ]
    assert {(file["diff"], file["mode"]) for file in files} == {(False, "0640")}
    assert [file["vars"]["there"] for file in redis_user_files(INSTANCES)] == ["", ""]


def test_only_root_may_read_the_password_of_its_commands():
    (file,) = redis_passwords(["locks"], 12345678)
    assert (file["path"], file["content"]) == ("/etc/redis/password-locks", "12345678\n")
    assert (file["mode"], file["diff"]) == ("0600", False)
    assert "group" not in file
