"""Who may ask: a key, if one is set; and no web page of another site.

A server on this machine can be reached by every page that its user's browser shows. Pages of other sites are told by
`Origin` and `Sec-Fetch-Site`; names that another site has pointed at this machine (DNS rebinding), by `Host`.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.serving.errors import ApiError

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether what is bound to this host can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """`hosts`: the names that a request may give for this server; None: any."""

    key: str | None
    hosts: frozenset[str] | None

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises ApiError 403 for a name that is not ours."""
        if self.hosts is not None and _name(headers.get("host", "")) not in self.hosts:
            message = "this server does not answer to that Host; --allow-host NAME lets it"
            raise ApiError(403, message, "host_not_allowed")

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raises ApiError 403 for a request that a page of another site makes."""
        origin = headers.get("origin")
        other = origin is not None and _authority(origin) != headers.get("host", "").lower()
        if other or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise ApiError(403, "requests by pages of other sites are refused", "origin_not_allowed")

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Raises ApiError 401 without the key."""
        if self.key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self.key.encode())
        if scheme.lower() != "bearer" or not right:
            message = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
            raise ApiError(401, message, "invalid_api_key", {"WWW-Authenticate": "Bearer"})


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
