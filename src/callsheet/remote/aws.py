"""What the standard AWS configuration says: the only module that knows botocore.

Importing it costs 0.1 s, so it is imported when the first request is made.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from botocore.httpsession import ProxyConfiguration, get_cert_path  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]
from botocore.utils import get_environ_proxies  # type: ignore[import-untyped]

from callsheet import system
from callsheet.errors import NoCredentials, RemoteError
from callsheet.remote.sigv4 import Keys

_NO_CREDENTIALS_HINT = (
    "Log in (`aws sso login`, `aws configure`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
# A failed search can take seconds (it asks the machine's metadata service last); a thousand requests must not repeat it.
_SEARCH_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. `custom` is None for AWS; `addressing` is `auto`, `path` or `virtual`."""

    custom: str | None
    addressing: str
    ca_bundle: str


@dataclass(frozen=True, slots=True)
class Proxy:
    url: str
    headers: Mapping[str, str]


class Aws:
    """One reading of environment, config files and profile. Safe to use from many threads."""

    def __init__(self, endpoint_url: str | None, *, anonymous: bool) -> None:
        """Reads the configuration, asks nobody. `RemoteError` if it cannot be used."""
        self._session = Session()
        # For the credential providers that ask a service (SSO, STS): a dead one must not hang the run.
        self._session.set_default_client_config(
            Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})
        )
        self._lock = threading.Lock()
        self._anonymous = anonymous
        self._credentials: Any = None
        self._searched_at: float | None = None
        try:
            profile = self._session.get_scoped_config()
            style = _section(profile, "s3").get("addressing_style", "auto")
            custom = endpoint_url or self._configured_endpoint(profile)
            ca_bundle = get_cert_path(self._session.get_config_variable("ca_bundle") or True)
        except (BotoCoreError, OSError, ValueError) as error:
            raise _config_error(error) from error
        self.endpoint = Endpoint(custom, style, ca_bundle)

    def host(self, region: str) -> str:
        """Amazon's S3 host for a region, of its partition (China, GovCloud) and with the profile's dual-stack and FIPS choice."""
        fips = "-fips" if self._session.get_config_variable("use_fips_endpoint") else ""
        dual_stack = ".dualstack" if self._session.get_config_variable("use_dualstack_endpoint") else ""
        try:
            partitions = self._session.get_data("partitions")["partitions"]
        except (BotoCoreError, KeyError) as error:
            raise _config_error(error) from error
        suffix = next(
            (p["outputs"]["dnsSuffix"] for p in partitions if re.match(p["regionRegex"], region)), "amazonaws.com"
        )
        return f"s3{fips}{dual_stack}.{region}.{suffix}"

    def keys(self) -> Keys | None:
        """What to sign the next request with, renewed if need be; None for one that is not signed.

        `NoCredentials` if there are none, or they could not be renewed.
        """
        if self._anonymous:
            return None
        try:
            frozen = self._found_credentials().get_frozen_credentials()
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            raise _credential_error(error) from error
        return Keys(frozen.access_key, frozen.secret_key, frozen.token or "")

    def forget_credentials(self) -> None:
        """Search anew with the next request: the user may have logged in again."""
        with self._lock:
            self._credentials = None

    def _found_credentials(self) -> Any:
        with self._lock:
            if self._credentials is None:
                recently = self._searched_at is not None and system.monotonic() - self._searched_at < _SEARCH_AGAIN_S
                if not recently:
                    self._search()
            if self._credentials is None:
                raise NoCredentials("No AWS credentials were found", hint=_NO_CREDENTIALS_HINT)
            return self._credentials

    def _search(self) -> None:
        session = Session()
        session.set_default_client_config(self._session.get_default_client_config())
        self._credentials = session.get_credentials()
        self._searched_at = system.monotonic() if self._credentials is None else None

    def _configured_endpoint(self, profile: Mapping[str, Any]) -> str | None:
        """https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""
        if self._session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        services = _section(self._session.full_config, "services")
        service = _section(_section(services, str(profile.get("services", ""))), "s3")
        return (
            os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
            or service.get("endpoint_url")
            or profile.get("endpoint_url")
            or None
        )


def proxy_for(url: str) -> Proxy | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for a URL."""
    proxies = ProxyConfiguration(get_environ_proxies(url))
    proxy_url = proxies.proxy_url_for(url)
    return Proxy(proxy_url, proxies.proxy_headers_for(proxy_url)) if proxy_url else None


def checked_endpoint(url: str) -> str:
    """`url` as the start of a request's URL: scheme, host, port, path; no trailing slash, no user. Raises `RemoteError`."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise RemoteError("The S3 endpoint's URL is not one", hint="Set AWS_ENDPOINT_URL_S3 to http(s)://host[:port]")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _config_error(error: Exception) -> RemoteError:
    return NoCredentials(
        f"The AWS configuration cannot be used: {_first_line(error)}",
        hint="Check AWS_PROFILE and the files ~/.aws/config and ~/.aws/credentials",
    )


def _credential_error(error: Exception) -> NoCredentials:
    # Only botocore's own texts are shown: another library's may quote what it was given.
    said = (
        f": {_first_line(error)}" if isinstance(error, (BotoCoreError, ClientError)) else f" ({type(error).__name__})"
    )
    return NoCredentials(f"The AWS credentials could not be had{said}", hint=_NO_CREDENTIALS_HINT)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
