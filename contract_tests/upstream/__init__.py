"""Compare the contract with the vendor's published OpenAPI document (`nox -s upstream`)."""
