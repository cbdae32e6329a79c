"""The clients of the operations in `api`: an address, connections and a key."""

import ssl
from types import TracebackType
from typing import Any, Self

import httpx
from attrs import define, evolve, field


@define
class Client:
    """The address of a server, and the connections to it.

    The repr leaves out everything that may hold a secret.
    """

    base_url: str
    """The base URL; paths of requests are appended to it."""
    raise_on_unexpected_status: bool = field(default=False, kw_only=True)
    """Raise `errors.UnexpectedStatus` for a status that the contract does not name."""
    headers: dict[str, str] = field(factory=dict[str, str], kw_only=True, repr=False)
    """Sent with every request."""
    cookies: dict[str, str] = field(factory=dict[str, str], kw_only=True, repr=False)
    """Sent with every request."""
    timeout: httpx.Timeout | float | None = field(default=60.0, kw_only=True)
    """The timeout of each phase of a request, in seconds; None for no limit."""
    verify_ssl: ssl.SSLContext | str | bool = field(default=True, kw_only=True)
    """The certificates that the server's certificate is checked with; False skips the check."""
    follow_redirects: bool = field(default=False, kw_only=True)
    """Follow redirects."""
    httpx_args: dict[str, Any] = field(factory=dict[str, Any], kw_only=True, repr=False)
    """Further arguments for `httpx.Client` and `httpx.AsyncClient`."""
    _client: httpx.Client | None = field(default=None, init=False, repr=False, eq=False)
    _async_client: httpx.AsyncClient | None = field(default=None, init=False, repr=False, eq=False)

    def with_headers(self, headers: dict[str, str]) -> Self:
        """Return a copy of this client with these additional headers."""
        return evolve(self, headers=self.headers | headers)

    def with_cookies(self, cookies: dict[str, str]) -> Self:
        """Return a copy of this client with these additional cookies."""
        return evolve(self, cookies=self.cookies | cookies)

    def with_timeout(self, timeout: httpx.Timeout | float | None) -> Self:
        """Return a copy of this client with this timeout."""
        return evolve(self, timeout=timeout)

    def _all_headers(self) -> dict[str, str]:
        return self.headers

    def _arguments(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "headers": self._all_headers(),
            "cookies": self.cookies,
            "timeout": self.timeout,
            "verify": self.verify_ssl,
            "follow_redirects": self.follow_redirects,
            **self.httpx_args,
        }

    def set_httpx_client(self, client: httpx.Client) -> Self:
        """Use this httpx client, with its own settings, headers and timeout."""
        self._client = client
        return self

    def get_httpx_client(self) -> httpx.Client:
        """Return the httpx client, made on the first call."""
        if self._client is None:
            self._client = httpx.Client(**self._arguments())
        return self._client

    def __enter__(self) -> Self:
        self.get_httpx_client().__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.get_httpx_client().__exit__(exc_type, exc_value, traceback)

    def set_async_httpx_client(self, async_client: httpx.AsyncClient) -> Self:
        """Use this httpx client, with its own settings, headers and timeout."""
        self._async_client = async_client
        return self

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the async httpx client, made on the first call."""
        if self._async_client is None:
            self._async_client = httpx.AsyncClient(**self._arguments())
        return self._async_client

    async def __aenter__(self) -> Self:
        await self.get_async_httpx_client().__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.get_async_httpx_client().__aexit__(exc_type, exc_value, traceback)


@define
class AuthenticatedClient(Client):
    """A `Client` that sends a key."""

    token: str = field(kw_only=True, repr=False)
    """The key."""
    prefix: str = field(default="Bearer", kw_only=True)
    """The scheme before the key; may be empty."""
    auth_header_name: str = field(default="Authorization", kw_only=True)
    """The header that carries the key."""

    def _all_headers(self) -> dict[str, str]:
        return self.headers | {self.auth_header_name: f"{self.prefix} {self.token}".strip()}
