"""What changed in the contract, for whom, and the version that the changes need: `nox -s changes`."""
