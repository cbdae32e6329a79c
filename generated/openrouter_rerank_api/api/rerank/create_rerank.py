from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_response import ErrorResponse
from ...models.rerank_request import RerankRequest
from ...models.rerank_response import RerankResponse
from ...types import UNSET, Response, Unset, decode, encode

MODELS: Mapping[int, type[ErrorResponse | RerankResponse]] = {
    200: RerankResponse,
    400: ErrorResponse,
    401: ErrorResponse,
    402: ErrorResponse,
    403: ErrorResponse,
    404: ErrorResponse,
    413: ErrorResponse,
    429: ErrorResponse,
    500: ErrorResponse,
    502: ErrorResponse,
    503: ErrorResponse,
    524: ErrorResponse,
    529: ErrorResponse,
}
"""The model of the body, by status."""


def get_kwargs(
    *,
    body: RerankRequest,
    http_referer: str | Unset = UNSET,
    x_open_router_title: str | Unset = UNSET,
    x_open_router_categories: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation: method, url, headers, content."""
    headers: dict[str, Any] = {}
    if not isinstance(http_referer, Unset):
        headers["HTTP-Referer"] = http_referer

    if not isinstance(x_open_router_title, Unset):
        headers["X-OpenRouter-Title"] = x_open_router_title

    if not isinstance(x_open_router_categories, Unset):
        headers["X-OpenRouter-Categories"] = x_open_router_categories

    headers["Accept"] = "application/json"
    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/rerank",
        "headers": headers,
    }
    headers["Content-Type"] = "application/json"
    _kwargs["content"] = encode(body)
    return _kwargs


def parse(status_code: int, content: bytes) -> ErrorResponse | RerankResponse | None:
    """Return the body as the contract's model for the status; None if there is no model, or for an error of another form.

    A success whose body is the envelope of an error is read as that. Types and required fields are checked; bounds of
    numbers are not.

    Raises:
        errors.MalformedBody: A successful answer whose body breaks the contract.
    """
    model = MODELS.get(status_code)
    if model is None:
        return None
    try:
        return decode(content, model)
    except errors.MalformedBody:
        if status_code >= 400:
            return None
        # A success may carry the fields of an error.
        for other in set(MODELS.values()) - {model}:
            with suppress(errors.MalformedBody):
                return decode(content, other)
        raise


def _respond(client: Client, response: httpx.Response) -> Response[ErrorResponse | RerankResponse]:
    if client.raise_on_unexpected_status and response.status_code not in MODELS:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parsed=parse(response.status_code, response.content),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: RerankRequest,
    http_referer: str | Unset = UNSET,
    x_open_router_title: str | Unset = UNSET,
    x_open_router_categories: str | Unset = UNSET,
) -> Response[ErrorResponse | RerankResponse]:
    """Rank documents by relevance to a query.

    Rank the documents by their relevance to the query. The response lists the most relevant first and refers
    to each document by its position in the request.

    Without `top_n`, all documents are returned. A `top_n` above the number of documents has the same effect.

    Args:
        client: The client that sends the request.
        body: A query, and the documents to rank by their relevance to it.
        http_referer: URL of the calling application. Without it, usage is not attributed to an application.
        x_open_router_title: Display name of the calling application.
        x_open_router_categories: Categories of the calling application, separated by commas. Lower case with hyphens, at most 30
            characters each, at most 2 per request and 10 per application. Unknown categories are dropped.

    Returns:
        The answer: its status, headers, bytes, and the body as the contract describes it.

    Raises:
        errors.MalformedBody: A successful answer whose body breaks the contract.
        errors.UnexpectedStatus: A status that the contract does not name, if the client is configured to raise it.
        httpx.RequestError: There was no complete answer."""
    kwargs = get_kwargs(
        body=body,
        http_referer=http_referer,
        x_open_router_title=x_open_router_title,
        x_open_router_categories=x_open_router_categories,
    )
    return _respond(client, client.get_httpx_client().request(**kwargs))


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: RerankRequest,
    http_referer: str | Unset = UNSET,
    x_open_router_title: str | Unset = UNSET,
    x_open_router_categories: str | Unset = UNSET,
) -> ErrorResponse | RerankResponse | None:
    """Rank documents by relevance to a query.

    Rank the documents by their relevance to the query. The response lists the most relevant first and refers
    to each document by its position in the request.

    Without `top_n`, all documents are returned. A `top_n` above the number of documents has the same effect.

    Args:
        client: The client that sends the request.
        body: A query, and the documents to rank by their relevance to it.
        http_referer: URL of the calling application. Without it, usage is not attributed to an application.
        x_open_router_title: Display name of the calling application.
        x_open_router_categories: Categories of the calling application, separated by commas. Lower case with hyphens, at most 30
            characters each, at most 2 per request and 10 per application. Unknown categories are dropped.

    Returns:
        The body as the contract describes it for the status, or None (see `Response`).

    Raises:
        errors.MalformedBody: A successful answer whose body breaks the contract.
        errors.UnexpectedStatus: A status that the contract does not name, if the client is configured to raise it.
        httpx.RequestError: There was no complete answer."""
    return sync_detailed(
        client=client,
        body=body,
        http_referer=http_referer,
        x_open_router_title=x_open_router_title,
        x_open_router_categories=x_open_router_categories,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: RerankRequest,
    http_referer: str | Unset = UNSET,
    x_open_router_title: str | Unset = UNSET,
    x_open_router_categories: str | Unset = UNSET,
) -> Response[ErrorResponse | RerankResponse]:
    """Rank documents by relevance to a query.

    Rank the documents by their relevance to the query. The response lists the most relevant first and refers
    to each document by its position in the request.

    Without `top_n`, all documents are returned. A `top_n` above the number of documents has the same effect.

    Args:
        client: The client that sends the request.
        body: A query, and the documents to rank by their relevance to it.
        http_referer: URL of the calling application. Without it, usage is not attributed to an application.
        x_open_router_title: Display name of the calling application.
        x_open_router_categories: Categories of the calling application, separated by commas. Lower case with hyphens, at most 30
            characters each, at most 2 per request and 10 per application. Unknown categories are dropped.

    Returns:
        The answer: its status, headers, bytes, and the body as the contract describes it.

    Raises:
        errors.MalformedBody: A successful answer whose body breaks the contract.
        errors.UnexpectedStatus: A status that the contract does not name, if the client is configured to raise it.
        httpx.RequestError: There was no complete answer."""
    kwargs = get_kwargs(
        body=body,
        http_referer=http_referer,
        x_open_router_title=x_open_router_title,
        x_open_router_categories=x_open_router_categories,
    )
    return _respond(client, await client.get_async_httpx_client().request(**kwargs))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: RerankRequest,
    http_referer: str | Unset = UNSET,
    x_open_router_title: str | Unset = UNSET,
    x_open_router_categories: str | Unset = UNSET,
) -> ErrorResponse | RerankResponse | None:
    """Rank documents by relevance to a query.

    Rank the documents by their relevance to the query. The response lists the most relevant first and refers
    to each document by its position in the request.

    Without `top_n`, all documents are returned. A `top_n` above the number of documents has the same effect.

    Args:
        client: The client that sends the request.
        body: A query, and the documents to rank by their relevance to it.
        http_referer: URL of the calling application. Without it, usage is not attributed to an application.
        x_open_router_title: Display name of the calling application.
        x_open_router_categories: Categories of the calling application, separated by commas. Lower case with hyphens, at most 30
            characters each, at most 2 per request and 10 per application. Unknown categories are dropped.

    Returns:
        The body as the contract describes it for the status, or None (see `Response`).

    Raises:
        errors.MalformedBody: A successful answer whose body breaks the contract.
        errors.UnexpectedStatus: A status that the contract does not name, if the client is configured to raise it.
        httpx.RequestError: There was no complete answer."""
    return (
        await asyncio_detailed(
            client=client,
            body=body,
            http_referer=http_referer,
            x_open_router_title=x_open_router_title,
            x_open_router_categories=x_open_router_categories,
        )
    ).parsed
