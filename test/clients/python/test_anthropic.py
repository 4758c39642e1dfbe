"""The anthropic SDK: messages, streaming, tools, count_tokens, errors."""
import anthropic
import pytest

from conftest import KEY, PNG, SCHEMA, URL

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
TOOLS = [{"name": "get_weather", "description": "weather", "input_schema": SCHEMA}]


def test_messages(model):
    r = client.messages.create(model=model, max_tokens=200, system="be brief", messages=[{"role": "user", "content": "hello there"}])
    assert "hello there" in r.content[0].text and r.stop_reason == "end_turn" and r.usage.input_tokens > 0 and r.usage.output_tokens > 0
    assert r.role == "assistant" and r.type == "message"


def test_stream(model):
    with client.messages.stream(model=model, max_tokens=200, messages=[{"role": "user", "content": "hello there"}]) as s:
        kinds = [e.type for e in s]
        final = s.get_final_message()
    assert "hello there" in final.content[0].text and final.stop_reason == "end_turn" and final.usage.output_tokens > 0
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"


@pytest.mark.parametrize("stream", [False, True])
def test_tools(model, stream):
    ask = dict(model=model, max_tokens=200, tools=TOOLS)
    messages = [{"role": "user", "content": "what is the weather in Oslo?"}]
    if stream:
        with client.messages.stream(messages=messages, **ask) as s:
            r = s.get_final_message()
    else:
        r = client.messages.create(messages=messages, **ask)
    assert r.stop_reason == "tool_use"
    call = next(b for b in r.content if b.type == "tool_use")
    assert call.name == "get_weather" and set(call.input) == {"city", "days"}
    messages += [{"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in r.content]},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "7 degrees, rain"}]}]
    assert "7 degrees, rain" in client.messages.create(messages=messages, **ask).content[0].text


def test_image(model):
    r = client.messages.create(model=model, max_tokens=200, messages=[{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}, {"type": "text", "text": "what is this?"}]}])
    assert "what is this?" in r.content[0].text


def test_count_tokens(model):
    assert client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "hello there, how many tokens is this?"}]).input_tokens > 3


def test_errors():
    ask = dict(max_tokens=10, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="nope", **ask)
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=URL, api_key="sk-wrong-wrong-wrong", max_retries=0).messages.create(model="demo", **ask)
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(model="f-openai?fault=429", **ask)
    for fault in ["cut", "unterminated", "error"]:
        for name in ["f-openai", "f-anthropic"]:
            with pytest.raises((anthropic.APIError, anthropic.AnthropicError)):
                for _ in client.messages.create(model=f"{name}?fault={fault}", stream=True, **ask):
                    pass
