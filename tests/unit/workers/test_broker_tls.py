"""TLS to the broker, from its URL: checked unless somebody says otherwise."""

import ssl

import pytest

from learning_schemas.errors import ConfigurationError
from learning_workers.broker_tls import tls_of


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", {"ssl_cert_reqs": ssl.CERT_REQUIRED}),
        ("?ssl_ca_certs=/etc/ca.pem", {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/ca.pem"}),
        ("?ssl_cert_reqs=none", {"ssl_cert_reqs": ssl.CERT_NONE}),
        (
            "?ssl_cert_reqs=required&ssl_check_hostname=false",
            {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": False},
        ),
    ],
)
def test_given_a_rediss_url_when_read_then_certificates_are_checked_as_it_says(
    parameters: str, expected: dict[str, object]
) -> None:
    assert tls_of(f"rediss://user:secret@redis.example:6380/0{parameters}") == expected


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "redis://:p@h:1/0?socket_timeout=1", "redis://h:no/0"])
def test_given_any_other_url_when_read_then_there_is_no_tls(url: str) -> None:
    assert tls_of(url) is False


def test_given_an_unknown_value_when_read_then_it_is_refused_without_the_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        tls_of("rediss://user:secret@redis.example:6380/0?ssl_cert_reqs=perhaps")
    assert "ssl_cert_reqs" in str(caught.value)
    assert "secret" not in str(caught.value)
