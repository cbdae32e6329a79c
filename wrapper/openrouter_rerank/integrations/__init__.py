"""Adapters for frameworks, and tracing. Each module needs the extra with its name."""
