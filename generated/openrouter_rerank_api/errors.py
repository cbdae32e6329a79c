"""The errors that this client raises itself; errors of the transport (httpx) are not changed."""


class UnexpectedStatus(Exception):
    """The contract does not name this status; raised only with `Client(raise_on_unexpected_status=True)`."""

    def __init__(self, status_code: int, content: bytes) -> None:
        super().__init__(status_code, content)
        self.status_code = status_code
        self.content = content

    def __str__(self) -> str:
        return f"status {self.status_code} is not in the contract ({len(self.content)} bytes in .content)"


class MalformedBody(Exception):
    """A successful answer whose body breaks the contract; the message names the location, and `content` is the body."""

    def __init__(self, message: str, content: bytes) -> None:
        super().__init__(message, content)
        self.message = message
        self.content = content

    def __str__(self) -> str:
        return self.message


__all__ = ["MalformedBody", "UnexpectedStatus"]
