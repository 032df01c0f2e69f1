"""The filter that names users after their passwords."""

import re

from credentials import former_values, kept_in_files, python_names, user_of_purpose, users_of_purposes
from warren.secrets import secret_problems


def test_a_changed_password_is_a_new_user():
    first, second = (user_of_purpose("worker", password) for password in ("kfR9/2pWq+Zt7w==", "kfR9/2pWq+Zt7w=="[::-1]))
    assert first != second
    assert first == user_of_purpose("worker", "kfR9/2pWq+Zt7w==")
    assert re.fullmatch("worker-[0-9a-f]{4}", first)


def test_the_same_password_names_the_users_of_two_purposes_differently():
    worker, flower = (user_of_purpose(purpose, "kfR9/2pWq+Zt7w==") for purpose in ("worker", "flower"))
    assert worker.removeprefix("worker-") != flower.removeprefix("flower-")


def test_a_password_that_yaml_has_as_a_number_is_its_text():
    assert user_of_purpose("worker", 123456789012) == user_of_purpose("worker", "123456789012")


def test_what_a_name_tells_leaves_a_password_of_the_rules_unguessable():
    """Sixteen bits of one that the rules take at least: twelve characters of letters and digits have 71."""
    assert secret_problems({"secret_flower": "aB3dE6gH9jK"})
    assert not secret_problems({"secret_flower": "aB3dE6gH9jKl"})


def test_only_purposes_that_are_used_have_users():
    purposes = {name: {"password": name * 3, "read": f"^{name}$"} for name in ("worker", "beat")}
    (user,) = users_of_purposes(purposes, ["beat"], 50)
    wanted = {"name": user_of_purpose("beat", "beatbeatbeat"), "password": "beatbeatbeat", "read": "^beat$"}
    assert user == wanted | {"max_connections": 50}


def test_a_secret_of_the_inventory_is_not_in_its_file(tmp_path):
    (tmp_path / "flower").write_text("made\n")
    (tmp_path / "redis").write_text("made once")
    secrets = {"flower": "made", "redis": "set in the inventory", "prometheus": "set, too"}
    assert kept_in_files(secrets, str(tmp_path)) == ["flower"]


def test_what_a_secret_was_before(tmp_path):
    assert former_values(str(tmp_path), "erlang_cookie") == []
    (tmp_path / "erlang_cookie.former").write_text("second\nfirst, with a space\n")
    assert former_values(str(tmp_path), "erlang_cookie") == ["second", "first, with a space"]


def test_a_project_that_knows_former_keys(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "README.md").write_text("SECRET_KEY_FALLBACKS")
    (tmp_path / "shop/settings.py").write_text("SECRET_KEY = 'x'\n")
    assert not python_names(str(tmp_path), "SECRET_KEY_FALLBACKS")
    (tmp_path / "shop/settings.py").write_text("SECRET_KEY_FALLBACKS = []\n")
    assert python_names(str(tmp_path), "SECRET_KEY_FALLBACKS")
