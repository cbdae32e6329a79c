"""The description of a model that ranks."""

import msgspec


class ModelInfo(msgspec.Struct, frozen=True):
    """A model that ranks. A value that the server does not send is None. A price of 0 is None too.

    The vendor's list has a price of 0 for models that cost money. `ranking.usage.cost` has the cost of a call.
    """

    id: str
    """The name for `rerank(..., model=id)`."""
    name: str | None = None
    """A name for display."""
    description: str | None = None
    """A description for display."""
    created: int | None = None
    """The time at which it was added, in seconds since 1970."""
    expiration_date: str | None = None
    """The day after which it may be removed, as YYYY-MM-DD."""
    context_length: int | None = None
    """The largest number of tokens of a query and one document together."""
    input_modalities: tuple[str, ...] | None = None
    """The kinds of input: `text`, `image`, ..."""
    price_per_search: float | None = None
    """US dollars for a search; None means unknown, not free."""
    price_per_token: float | None = None
    """US dollars for a token; None means unknown, not free."""
