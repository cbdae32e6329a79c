"""The settings of an adapter as fields of a pydantic model, for frameworks with pydantic components."""
# Types are also checked without pydantic, so that its types are unknown.
# mypy: disable-error-code="import-not-found,misc,no-any-return"
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, create_model, field_serializer

from openrouter_rerank.integrations.pair import Pair, Setup, plain, splitter_of
from openrouter_rerank.options import CALL, CallOptions, refuse_unknown

# Headers may contain secrets.
_HIDDEN = ("extra_headers",)

if TYPE_CHECKING:
    Options = BaseModel
else:
    # Any, because the request validates the values with its own messages.
    Options = create_model(
        "Options",
        **{name: (Any, Field(None, repr=name not in _HIDDEN)) for name in CallOptions.__annotations__},
    )


class AdapterSettings(Options):
    """The options of calls and of the rerankers as fields. Each call uses the current values."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    dialect: Any = None
    base_url: Any = None
    deadline: Any = None
    on_error: Any = "raise"
    api_key: Any = Field(None, exclude=True, repr=False)
    reranker: Any = Field(None, repr=False)
    async_reranker: Any = Field(None, repr=False)

    _pair: Pair = PrivateAttr(default_factory=Pair)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def close(self) -> None:
        """Close the connections of sync calls, unless the reranker was given. A later call opens new ones."""
        self._pair.close()

    async def aclose(self) -> None:
        """Close all connections, unless the rerankers were given. A later call opens new ones."""
        await self._pair.aclose()

    @classmethod
    def _known(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options as values of the fields; raise for an unknown one."""
        refuse_unknown(cls.__name__, options, cls.model_fields)
        return {name: splitter_of(value) if name == "splitter" else value for name, value in options.items()}

    def _check(self) -> None:
        """Validate the settings, and the key unless a ready reranker was passed."""
        setup = self._setup()
        setup.check()
        if not setup.is_ready:
            self._pair.sync(setup)

    def _setup(self) -> Setup:
        fields = self.__dict__
        known = type(self).model_fields
        # model_copy(update=...) accepts any name; names of the class, such as cached properties, are fine.
        unknown = [name for name in fields if name not in known and not hasattr(type(self), name)]
        refuse_unknown(type(self).__name__, unknown, known)
        key = fields["api_key"]
        secret = SecretStr(key) if isinstance(key, str) else key
        return Setup(
            options={name: fields[name] for name in CALL},
            on_error=fields["on_error"],
            client={name: fields[name] for name in ("dialect", "base_url", "deadline")},
            key=None if secret is None else getattr(secret, "get_secret_value", lambda: secret),
            key_source=secret,
            reranker=fields["reranker"],
            async_reranker=fields["async_reranker"],
        )

    @field_serializer(*sorted(CALL))
    def _plain(self, value: Any, info: Any) -> Any:
        return plain(info.field_name, value)

    @field_serializer("reranker", "async_reranker")
    def _shown(self, value: Any) -> str | None:
        # A reranker cannot be serialized. Loading its repr raises; without it, calls would go to another server.
        return None if value is None else repr(value)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name == "base_url" and isinstance(value, str):
                yield name, value.partition("?")[0]  # the query may contain a secret
            elif value is not None:
                yield name, value

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._pair = copy(self._pair)  # noqa: SLF001 - the same class
        return copied

    # Not the framework's method: LlamaIndex silently omits attributes that cannot be pickled.
    def __getstate__(self) -> dict[Any, Any]:
        setup = self._setup()
        has_key = setup.key is not None and bool(setup.key())
        setup.refuse_secrets(type(self).__name__, has_key=has_key)
        return BaseModel.__getstate__(self)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        BaseModel.__setstate__(self, state)


def masked(key: SecretStr | str | None) -> SecretStr | None:
    """Return the key as a SecretStr."""
    return SecretStr(key) if isinstance(key, str) else key
