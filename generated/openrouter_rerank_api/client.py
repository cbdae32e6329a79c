"""Where the operations send to, and as whom. Which operations there are, `api` says."""

import ssl
from types import TracebackType
from typing import Any, Self

import httpx
from attrs import define, evolve, field


@define
class Client:
    """The address of a server, and the connections to it.

    Everything that may hold a secret stays out of the repr.
    """

    base_url: str
    """All requests go to a path under this."""
    raise_on_unexpected_status: bool = field(default=False, kw_only=True)
    """Whether a status that the contract does not name raises `errors.UnexpectedStatus`."""
    headers: dict[str, str] = field(factory=dict[str, str], kw_only=True, repr=False)
    """Sent with every request."""
    cookies: dict[str, str] = field(factory=dict[str, str], kw_only=True, repr=False)
    """Sent with every request."""
    timeout: httpx.Timeout | float | None = field(default=60.0, kw_only=True)
    """How long each phase of a request may take, in seconds; None waits for ever."""
    verify_ssl: ssl.SSLContext | str | bool = field(default=True, kw_only=True)
    """Whether, or by which certificates, the server's certificate is checked."""
    follow_redirects: bool = field(default=False, kw_only=True)
    """Whether redirects are followed."""
    httpx_args: dict[str, Any] = field(factory=dict[str, Any], kw_only=True, repr=False)
    """Further arguments for `httpx.Client` and `httpx.AsyncClient`."""
    _client: httpx.Client | None = field(default=None, init=False, repr=False, eq=False)
    _async_client: httpx.AsyncClient | None = field(default=None, init=False, repr=False, eq=False)

    def with_headers(self, headers: dict[str, str]) -> Self:
        """A new client like this one, with these headers too."""
        return evolve(self, headers=self.headers | headers)

    def with_cookies(self, cookies: dict[str, str]) -> Self:
        """A new client like this one, with these cookies too."""
        return evolve(self, cookies=self.cookies | cookies)

    def with_timeout(self, timeout: httpx.Timeout | float | None) -> Self:
        """A new client like this one, with this timeout."""
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
        """Use this client; it replaces every setting here, headers and timeout too."""
        self._client = client
        return self

    def get_httpx_client(self) -> httpx.Client:
        """The client that the operations send with, made at the first call."""
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
        """Use this client; it replaces every setting here, headers and timeout too."""
        self._async_client = async_client
        return self

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """The client that the async operations send with, made at the first call."""
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
    """What stands before the key; empty for nothing."""
    auth_header_name: str = field(default="Authorization", kw_only=True)
    """The header that carries it."""

    def _all_headers(self) -> dict[str, str]:
        return self.headers | {self.auth_header_name: f"{self.prefix} {self.token}".strip()}
