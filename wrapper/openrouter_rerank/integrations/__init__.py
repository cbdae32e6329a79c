"""Adapters for frameworks, and tracing. Each module needs the extra of its name."""
