"""The conformance kit: judges any server by openapi.yaml; it shares no code with the clients."""
