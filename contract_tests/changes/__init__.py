"""Compare two contracts: the changes, whom they affect, and the version that they need (`nox -s changes`)."""
