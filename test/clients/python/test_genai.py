"""google-genai: generate_content, streaming, tools, structured output, count_tokens, embed_content, errors."""
import base64
import json

import pytest
from google import genai
from google.genai import errors, types

from conftest import KEY, PNG, SCHEMA, URL

client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL))
WEATHER = types.Tool(function_declarations=[types.FunctionDeclaration(
    name="get_weather", description="weather", parameters_json_schema=SCHEMA)])
MANUAL = types.AutomaticFunctionCallingConfig(disable=True)


def test_generate(model):
    r = client.models.generate_content(model=model, contents="hello there", config=types.GenerateContentConfig(system_instruction="be brief"))
    assert "hello there" in r.text and r.candidates[0].finish_reason == types.FinishReason.STOP
    assert r.usage_metadata.total_token_count > 0


def test_stream(model):
    chunks = list(client.models.generate_content_stream(model=model, contents="hello there"))
    assert "hello there" in "".join(c.text or "" for c in chunks)
    assert chunks[-1].usage_metadata.total_token_count > 0 and chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


@pytest.mark.parametrize("stream", [False, True])
def test_tools(model, stream):
    config = types.GenerateContentConfig(tools=[WEATHER], automatic_function_calling=MANUAL)
    question = types.Content(role="user", parts=[types.Part(text="what is the weather in Oslo?")])
    if stream:
        parts = [p for c in client.models.generate_content_stream(model=model, contents=[question], config=config)
                 for p in (c.candidates[0].content.parts or []) if c.candidates[0].content]
    else:
        parts = client.models.generate_content(model=model, contents=[question], config=config).candidates[0].content.parts
    call = next(p for p in parts if p.function_call)
    assert call.function_call.name == "get_weather" and set(call.function_call.args) == {"city", "days"}
    answer = types.Part(function_response=types.FunctionResponse(
        id=call.function_call.id, name="get_weather", response={"result": "7 degrees, rain"}))
    r = client.models.generate_content(model=model, config=config, contents=[
        question, types.Content(role="model", parts=[call]), types.Content(role="user", parts=[answer])])
    assert "7 degrees, rain" in r.text


def test_image(model):
    r = client.models.generate_content(model=model, contents=[
        types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png"), "what is this?"])
    assert "what is this?" in r.text


def test_structured(model):
    r = client.models.generate_content(model=model, contents="plan", config=types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=SCHEMA))
    assert set(json.loads(r.text)) == {"city", "days"}


def test_count(model):
    assert client.models.count_tokens(model=model, contents="hello there, how many tokens is this?").total_tokens > 3


@pytest.mark.parametrize("name", ["demo", "m-openai"])  # the SDK sends one input for a name with "gemini" in it, however many it is given
def test_embed(name):
    r = client.models.embed_content(model=name, contents=["one", "two"])
    assert len(r.embeddings) == 2 and r.embeddings[0].values != r.embeddings[1].values


def test_errors():
    stranger = genai.Client(api_key="sk-wrong-wrong-wrong", http_options=types.HttpOptions(base_url=URL))
    with pytest.raises(errors.ClientError) as e:
        client.models.generate_content(model="nope", contents="hi")
    assert e.value.code == 400 and "nope" in str(e.value)
    with pytest.raises(errors.ClientError) as e:
        stranger.models.generate_content(model="demo", contents="hi")
    assert e.value.code == 401
    with pytest.raises(errors.ClientError) as e:
        client.models.generate_content(model="f-429", contents="hi")
    assert e.value.code == 429
