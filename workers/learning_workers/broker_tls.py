"""TLS to the Celery broker, from its URL alone, as for every other Redis of a deployment.

kombu takes `rediss://` without parameters for "encrypt, and believe anybody", and Flower reads no parameters of a URL at all.
"""

import ssl
from typing import Any, Literal

from kombu.utils.url import parse_url

from learning_schemas.errors import ConfigurationError


def tls_of(url: str) -> dict[str, Any] | Literal[False]:
    """What Celery's `broker_use_ssl` is for a broker's URL: certificates are checked unless it says `ssl_cert_reqs=none`.

    Raises `ConfigurationError`.
    """
    try:
        parts = parse_url(url)
    except KeyError:
        raise ConfigurationError(
            "broker_url", "has another ssl_cert_reqs than there is", "Write ssl_cert_reqs=required, or none"
        ) from None
    except ValueError:  # the port is no number: whoever connects says so
        return False
    if parts["transport"] != "rediss":
        return False
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **parts.get("ssl", {})}
