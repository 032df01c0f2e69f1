"""An own password may hold any character, and so may the name of a virtual host: Celery finds them in the URL."""

import pytest
import urls
from celery_once.backends.redis import parse_url as once_parse_url
from kombu.utils.url import url_to_parts
from redis.connection import parse_url

# What ends or begins a part of a URL, what a URL cannot hold, and what `%` makes of two digits.
NASTY = ["p/a@s:s", "a?b#c", "50%", "%2F", "a b+c", "é[]\\", "\"quotes'", "&=;,"]


def test_a_plain_login_stays_as_it_is():
    assert urls.broker_urls(["192.0.2.1", "192.0.2.2"], 5672, "celery", "s3cret", "warren") == [
        "pyamqp://celery:s3cret@192.0.2.1:5672/warren",
        "pyamqp://celery:s3cret@192.0.2.2:5672/warren",
    ]
    assert urls.redis_url("192.0.2.3", 6379, "locks-1f0c", "s3cret", 1) == "redis://locks-1f0c:s3cret@192.0.2.3:6379/1"


def test_with_an_authority_clients_verify_it_and_the_address():
    url = urls.redis_url("192.0.2.3", 6379, "locks", "s3cret", 1, "/etc/ssl/warren/ca.crt")
    assert url == (
        "rediss://locks:s3cret@192.0.2.3:6379/1"
        "?ssl_cert_reqs=required&ssl_ca_certs=/etc/ssl/warren/ca.crt&ssl_check_hostname=true"
    )
    assert urls.redis_url("", 6379, "locks", "s3cret", 1, "/etc/ssl/warren/ca.crt") == ""


@pytest.mark.parametrize("text", [*NASTY, "/", "/shop", "shop/eu", "shop/"])
def test_celery_finds_what_was_put_into_a_brokers_url(text):
    (url,) = urls.broker_urls(["192.0.2.1"], 5672, f"{text}u", f"{text}p", text)
    parts = url_to_parts(url)
    assert (parts.scheme, parts.hostname, parts.port) == ("pyamqp", "192.0.2.1", 5672)
    assert (parts.username, parts.password, parts.path, parts.query) == (f"{text}u", f"{text}p", text, {})


@pytest.mark.parametrize("text", NASTY)
def test_redis_client_finds_the_user_and_the_password(text):
    found = parse_url(urls.redis_url("192.0.2.3", "6380", f"{text}u", text, 1))
    assert (found["host"], found["port"], found["db"]) == ("192.0.2.3", 6380, 1)
    assert (found["username"], found["password"]) == (f"{text}u", text)


@pytest.mark.parametrize("user", ["", "locks-1f0c", "a&b@c"])
@pytest.mark.parametrize("password", [*NASTY, "s3cret", ""])
@pytest.mark.parametrize("authority", ["", "/etc/ssl/warren/ca.crt"])
@pytest.mark.parametrize("options", ["", "socket_timeout=5"])
def test_celery_once_and_redis_client_find_the_same_user_and_password(user, password, authority, options):
    """celery_once reads no user before the `@`, and decodes no password there."""
    url = urls.redis_url("192.0.2.3", "6380", user, password, 1, authority)
    url = urls.celery_once_url(f"{url}{'&' if authority else '?'}{options}" if options else url)
    found = once_parse_url(url)
    assert (found["host"], found["port"], found["db"]) == ("192.0.2.3", 6380, 1)
    assert found.get("password", "") == parse_url(url).get("password", "") == password
    assert found.get("username", "") == parse_url(url).get("username", "") == user
    assert ("socket_timeout" in found) == bool(options)


def test_a_plain_password_without_a_user_stays_where_it_is():
    url = urls.redis_url("192.0.2.3", 6379, "", "s3cret", 1)
    assert urls.celery_once_url(url) == url


def test_a_password_of_digits_is_a_text():
    """YAML makes a number of it."""
    assert urls.redis_url("192.0.2.3", 6379, "results", 12345678, 0) == "redis://results:12345678@192.0.2.3:6379/0"
    assert urls.broker_urls(["192.0.2.1"], 5672, "celery", 12345678, 1) == ["pyamqp://celery:12345678@192.0.2.1:5672/1"]


@pytest.mark.parametrize("address", ["", None])
def test_without_a_redis_there_is_no_url(address):
    assert urls.redis_url(address, 6379, "results", "s3cret", 0) == ""
