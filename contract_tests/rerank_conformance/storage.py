"""Files in the user's cache directory; a file that cannot be read or written is never an error.

The environment variable `RERANK_CONFORMANCE_CACHE` names another directory; an empty value turns storage off.
"""

import contextlib
import os
import tempfile
from pathlib import Path

_NEWEST = 32
"""Files that are kept; a write removes older ones."""
_LARGEST = 64 * 1024 * 1024
_SUFFIX = ".json"


def directory() -> Path | None:
    """Return the cache directory of this kit, which need not exist; None if it is turned off or the user has no home."""
    own = os.environ.get("RERANK_CONFORMANCE_CACHE")
    if own is not None:
        return Path(own) if own else None
    names = ("XDG_CACHE_HOME", "LOCALAPPDATA") if os.name == "nt" else ("XDG_CACHE_HOME",)
    # The XDG specification has relative paths ignored.
    named = [Path(value) for name in names if (value := os.environ.get(name)) and Path(value).is_absolute()]
    try:
        return (named[0] if named else Path.home() / ".cache") / "rerank-conformance"
    except RuntimeError:
        return None


def read(name: str) -> bytes | None:
    """Return the content of a file; None if there is no such file, or it cannot be read."""
    file = _path(name)
    try:
        # Opening a pipe would wait for its other end.
        if file is None or not file.is_file() or file.stat().st_size > _LARGEST:
            return None
        return file.read_bytes()
    except OSError:
        return None


def write(name: str, content: bytes) -> None:
    """Replace a file as a whole, so that no reader sees a part of it; do nothing if that is not possible."""
    file = _path(name)
    if file is None:
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(_SUFFIX, f"{_prefix(name)}-", file.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            Path(temporary).replace(file)
        except OSError:
            Path(temporary).unlink()
            raise
        _prune(file)


def _path(name: str) -> Path | None:
    folder = directory()
    return None if folder is None else folder / f"{name}{_SUFFIX}"


def _prefix(name: str) -> str:
    return name.partition("-")[0]


def _prune(file: Path) -> None:
    """Remove all but the newest files with the same first word in their name."""
    kept = [(path.stat().st_mtime, path) for path in file.parent.glob(f"{_prefix(file.name)}-*{_SUFFIX}")]
    for _, path in sorted(kept)[:-_NEWEST]:
        path.unlink()
