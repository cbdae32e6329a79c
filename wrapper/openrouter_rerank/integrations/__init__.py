"""Where this package meets others: adapters for frameworks, and tracing. Each module needs the extra of its name."""
