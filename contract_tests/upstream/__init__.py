"""Whether the vendor's published OpenAPI document and the contract still mean the same: `nox -s upstream`."""
