"""What holds where a caller says nothing."""

# openapi.yaml#/servers/0
BASE_URL = "https://openrouter.ai/api/v1"
# The model of the vendor's own example.
MODEL = "cohere/rerank-v3.5"
KEY_VARIABLE = "OPENROUTER_API_KEY"
# As base64 it stays below the 30 MB that the vendor's models refuse.
MAX_IMAGE_BYTES = 20 * 2**20
