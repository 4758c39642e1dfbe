"""The openai SDK: chat completions, responses, legacy completions, embeddings, models, errors."""
import json

import openai
import pytest

from conftest import KEY, PNG, SCHEMA, URL

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "weather", "parameters": SCHEMA}}]


def test_chat(model):
    r = client.chat.completions.create(model=model, messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there"}])
    assert "hello there" in r.choices[0].message.content
    assert r.choices[0].finish_reason == "stop"
    assert r.usage.prompt_tokens > 0 and r.usage.completion_tokens > 0 and r.model == model


def test_chat_stream(model):
    text, usage, finish = "", None, None
    for chunk in client.chat.completions.create(model=model, stream=True, stream_options={"include_usage": True},
                                                messages=[{"role": "user", "content": "hello there"}]):
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
        usage = chunk.usage or usage
    assert "hello there" in text and finish == "stop" and usage.total_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_chat_tools(model, stream):
    messages = [{"role": "user", "content": "what is the weather in Oslo?"}]
    if stream:
        with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as s:
            r = s.get_final_completion()
    else:
        r = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    choice = r.choices[0]
    assert choice.finish_reason == "tool_calls"
    call = choice.message.tool_calls[0]
    assert call.function.name == "get_weather" and set(json.loads(call.function.arguments)) == {"city", "days"} and call.id
    messages += [choice.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "7 degrees, rain"}]
    r = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert "7 degrees, rain" in r.choices[0].message.content


def test_chat_image(model):
    r = client.chat.completions.create(model=model, messages=[{"role": "user", "content": [
        {"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}]}])
    assert "what is this?" in r.choices[0].message.content


def test_chat_structured(model):
    r = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "plan"}],
                                       response_format={"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": SCHEMA}})
    assert set(json.loads(r.choices[0].message.content)) == {"city", "days"}


def test_responses(model):
    r = client.responses.create(model=model, instructions="be brief", input="hello there")
    assert "hello there" in r.output_text and r.status == "completed" and r.usage.total_tokens > 0


def test_responses_stream(model):
    text, last, kinds = "", -1, []
    for e in client.responses.create(model=model, input="hello there", stream=True):
        assert e.sequence_number == last + 1
        last = e.sequence_number
        kinds.append(e.type)
        if e.type == "response.output_text.delta":
            text += e.delta
    assert "hello there" in text
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"


def test_responses_tools(model):
    tools = [{"type": "function", "name": "get_weather", "description": "weather", "parameters": SCHEMA, "strict": True}]
    r = client.responses.create(model=model, input="what is the weather in Oslo?", tools=tools)
    call = next(i for i in r.output if i.type == "function_call")
    assert call.name == "get_weather" and set(json.loads(call.arguments)) == {"city", "days"}
    r = client.responses.create(model=model, tools=tools, input=[
        {"role": "user", "content": "what is the weather in Oslo?"}, call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "7 degrees, rain"}])
    assert "7 degrees, rain" in r.output_text


def test_responses_structured(model):
    r = client.responses.create(model=model, input="plan", text={"format": {"type": "json_schema", "name": "plan", "strict": True, "schema": SCHEMA}})
    assert set(json.loads(r.output_text)) == {"city", "days"}


def test_completions():
    r = client.completions.create(model="m-openai", prompt="hello there")
    assert "hello there" in r.choices[0].text
    text = "".join(c.choices[0].text for c in client.completions.create(model="m-anthropic", prompt="hello there", stream=True) if c.choices)
    assert "hello there" in text


@pytest.mark.parametrize("name", ["demo", "m-openai", "m-gemini"])
def test_embeddings(name):
    r = client.embeddings.create(model=name, input=["one", "two", "one"])
    assert len(r.data) == 3 and r.data[0].embedding == r.data[2].embedding != r.data[1].embedding
    r = client.embeddings.create(model=name, input="one", encoding_format="float", dimensions=16)
    assert len(r.data[0].embedding) == 16


def test_models():
    assert {"demo", "m-openai"} <= {m.id for m in client.models.list()}
    assert client.models.retrieve("demo").id == "demo"


def test_errors():
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="nope", messages=messages)
    assert "nope" in str(e.value)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=URL + "/v1", api_key="sk-wrong-wrong-wrong", max_retries=0).chat.completions.create(model="demo", messages=messages)
    with pytest.raises(openai.RateLimitError) as e:
        client.chat.completions.create(model="f-openai?fault=429&retry_after=3", messages=messages)
    assert e.value.response.headers["retry-after"] == "3"
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="f-anthropic?fault=500", messages=messages)
    for fault in ["cut", "unterminated", "error"]:
        for name in ["f-openai", "f-anthropic"]:
            with pytest.raises(openai.APIError):
                for _ in client.chat.completions.create(model=f"{name}?fault={fault}", messages=messages, stream=True):
                    pass
