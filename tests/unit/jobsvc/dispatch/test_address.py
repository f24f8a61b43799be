"""The forms of the setting `redis_url`, and what is refused."""

import pytest

from jobsvc.engine.dispatch.address import RedisAddress, RedisUrlError

KNOWN = {
    "redis://localhost": RedisAddress(hosts=(("localhost", 6379),)),
    "redis://10.0.0.1:6380/3": RedisAddress(hosts=(("10.0.0.1", 6380),), database=3),
    "redis://[::1]:6380": RedisAddress(hosts=(("::1", 6380),)),
    "redis://:p%40ss@cache/1": RedisAddress(hosts=(("cache", 6379),), database=1, password="p@ss"),
    "rediss://jobs:hunter2@cache:6380?ca_file=/etc/ca.pem": RedisAddress(
        hosts=(("cache", 6380),), username="jobs", password="hunter2", is_tls=True, ca_file="/etc/ca.pem"
    ),
    "unix:///run/valkey.sock": RedisAddress(path="/run/valkey.sock"),
    "unix://:hunter2@/run/valkey.sock": RedisAddress(path="/run/valkey.sock", password="hunter2"),
    "redis+sentinel://one,two:26380/jobs/2": RedisAddress(
        hosts=(("one", 26379), ("two", 26380)), service="jobs", database=2
    ),
    "rediss+sentinel://u:hunter2@one:1/jobs?sentinel_password=hunter3": RedisAddress(
        hosts=(("one", 1),), service="jobs", username="u", password="hunter2", sentinel_password="hunter3", is_tls=True
    ),
}
REFUSED = {
    "http://cache": "schemes",
    "cache:6379": "schemes",
    "unix+sentinel:///run/valkey.sock": "schemes",
    "redis://": "host or a port is missing",
    "redis://cache:0": "host or a port is missing",
    "redis://cache:70000": "port is not a number",
    "redis://cache:port": "port is not a number",
    "redis://cache/jobs": "database is not a number",
    "redis://one,two": "several hosts",
    "redis://[::1": "",
    "unix://run/valkey.sock": "three slashes",
    "redis+sentinel://one:26379": "name of the service is missing",
    "redis://cache?ca_file=/etc/ca.pem": "no option 'ca_file'",
    "rediss://cache?password=secret": "no option 'password'",
}


@pytest.mark.parametrize("url", KNOWN)
def test_a_url_says_where_redis_is(url: str) -> None:
    assert RedisAddress.parse(url) == KNOWN[url]


@pytest.mark.parametrize("url", REFUSED)
def test_a_wrong_url_is_refused_with_the_name_of_the_setting_and_the_forms(url: str) -> None:
    with pytest.raises(RedisUrlError) as refused:
        RedisAddress.parse(url)

    assert REFUSED[url] in str(refused.value)
    assert "jobsvc.redis_url" in str(refused.value)
    assert "redis+sentinel://" in str(refused.value)


@pytest.mark.parametrize("url", KNOWN)
def test_neither_its_text_nor_its_repr_shows_a_secret(url: str) -> None:
    address = RedisAddress.parse(url)

    for secret in filter(None, (address.password, address.sentinel_password)):
        assert secret not in str(address)
        assert secret not in repr(address)


def test_a_wrong_url_is_refused_without_a_word_of_it() -> None:
    with pytest.raises(RedisUrlError) as refused:
        RedisAddress.parse("redis://jobs:hunter2@cache:port/hunter2")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://u:p@[::1]:6380/3", "redis://[::1]:6380/3"),
        ("rediss://u:p@cache", "rediss://cache:6379/0"),
        ("unix://u:p@/run/v.sock", "unix:///run/v.sock"),
        ("redis+sentinel://u:p@one,two:1/jobs", "redis+sentinel://one:26379,two:1/jobs"),
    ],
)
def test_logs_show_it_without_credentials(url: str, text: str) -> None:
    assert str(RedisAddress.parse(url)) == text
