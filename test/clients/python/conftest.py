"""Where the gateway is, and what to ask: the official SDKs, unchanged but for base URL and key."""
import os

import pytest

URL = os.environ["WEIR_URL"]
KEY = os.environ["WEIR_KEY"]

# demo is spliced in every dialect; each m-* stands behind an upstream that speaks that one dialect alone.
MODELS = ["demo", "m-openai", "m-responses", "m-anthropic", "m-converse", "m-gemini"]

# A picture of one red pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.fixture(params=MODELS)
def model(request):
    return request.param
