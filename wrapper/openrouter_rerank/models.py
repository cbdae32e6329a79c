"""The description of a model that ranks."""

import msgspec


class ModelInfo(msgspec.Struct, frozen=True):
    """A model that ranks. A value that the server does not send is None, and so is a price of 0.

    The vendor's list has a price of 0 for models that are paid for, so that a 0 says nothing. What a call cost is in
    its `ranking.usage.cost`.
    """

    id: str
    """The name to request it by: `rerank(..., model=id)`."""
    name: str | None = None
    """Its name for people."""
    description: str | None = None
    """A description for people."""
    created: int | None = None
    """When it was added, in seconds since 1970."""
    expiration_date: str | None = None
    """The day after which it may be gone, as YYYY-MM-DD."""
    context_length: int | None = None
    """The number of tokens that a query and one document may have together."""
    input_modalities: tuple[str, ...] | None = None
    """The kinds of input: `text`, `image`, ..."""
    price_per_search: float | None = None
    """US dollars for a search; None where it is not known, which is not free."""
    price_per_token: float | None = None
    """US dollars for a token; None where it is not known, which is not free."""
