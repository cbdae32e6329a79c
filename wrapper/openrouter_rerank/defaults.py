"""Default values."""

# openapi.yaml#/servers/0
BASE_URL = "https://openrouter.ai/api/v1"
# The model of the vendor's own example.
MODEL = "cohere/rerank-v3.5"
# Seconds, for one attempt and for a whole call.
TIMEOUT = 60.0
DEADLINE = 120.0
KEY_VARIABLE = "OPENROUTER_API_KEY"
# As base64 it stays below the 30 MB that the vendor's models refuse.
MAX_IMAGE_BYTES = 20 * 2**20
# More than a provider takes: what the vendor of the default model advises, and another's limit.
MAX_DOCUMENTS = 1000
# No limit is published. At 30 MB the vendor's own image model is known to refuse; less would split what servers take, and a
# server that takes less says so with a 413, upon which the list is halved.
MAX_BYTES = 30_000_000
