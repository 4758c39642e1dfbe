"""boto3: converse and converse_stream, unsigned with a bearer header as the GenAI gateway's users do."""
import base64

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from conftest import KEY, PNG, SCHEMA, URL


def make(key):
    c = boto3.client("bedrock-runtime", endpoint_url=URL + "/bedrock", region_name="us-east-1",
                     config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0}))

    def bearer(request, **_):
        request.headers["Authorization"] = "Bearer " + key

    c.meta.events.register("before-send.*.*", lambda request, **_: bearer(request))
    return c


client = make(KEY)
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "description": "weather", "inputSchema": {"json": SCHEMA}}}]}
HELLO = [{"role": "user", "content": [{"text": "hello there"}]}]


def test_converse(model):
    r = client.converse(modelId=model, system=[{"text": "be brief"}], messages=HELLO, inferenceConfig={"maxTokens": 200})
    assert "hello there" in r["output"]["message"]["content"][0]["text"] and r["stopReason"] == "end_turn"
    assert r["usage"]["totalTokens"] > 0 and r["metrics"]["latencyMs"] >= 0


def test_converse_stream(model):
    events = list(client.converse_stream(modelId=model, messages=HELLO)["stream"])
    kinds = [next(iter(e)) for e in events]
    text = "".join(e["contentBlockDelta"]["delta"].get("text", "") for e in events if "contentBlockDelta" in e)
    assert "hello there" in text
    assert kinds[0] == "messageStart" and kinds[-2:] == ["messageStop", "metadata"] and "contentBlockStop" in kinds
    assert events[-1]["metadata"]["usage"]["totalTokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_tools(model, stream):
    messages = [{"role": "user", "content": [{"text": "what is the weather in Oslo?"}]}]
    if stream:
        block, stop, args = None, None, ""
        for e in client.converse_stream(modelId=model, messages=messages, toolConfig=TOOLS)["stream"]:
            if "contentBlockStart" in e:
                block = e["contentBlockStart"]["start"]["toolUse"]
            if "contentBlockDelta" in e:
                args += e["contentBlockDelta"]["delta"].get("toolUse", {}).get("input", "")
            if "messageStop" in e:
                stop = e["messageStop"]["stopReason"]
        import json
        call = {"toolUseId": block["toolUseId"], "name": block["name"], "input": json.loads(args)}
    else:
        r = client.converse(modelId=model, messages=messages, toolConfig=TOOLS)
        stop = r["stopReason"]
        call = next(b["toolUse"] for b in r["output"]["message"]["content"] if "toolUse" in b)
    assert stop == "tool_use" and call["name"] == "get_weather" and set(call["input"]) == {"city", "days"}
    messages += [{"role": "assistant", "content": [{"toolUse": call}]},
                 {"role": "user", "content": [{"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "7 degrees, rain"}]}}]}]
    r = client.converse(modelId=model, messages=messages, toolConfig=TOOLS)
    assert "7 degrees, rain" in r["output"]["message"]["content"][0]["text"]


def test_image(model):
    r = client.converse(modelId=model, messages=[{"role": "user", "content": [
        {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}}, {"text": "what is this?"}]}])
    assert "what is this?" in r["output"]["message"]["content"][0]["text"]


def test_errors():
    with pytest.raises(ClientError) as e:
        client.converse(modelId="nope", messages=HELLO)
    assert e.value.response["Error"]["Code"] == "ValidationException" and "nope" in e.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as e:
        make("sk-wrong-wrong-wrong").converse(modelId="demo", messages=HELLO)
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] in (401, 403)
    with pytest.raises(ClientError) as e:
        client.converse(modelId="f-openai?fault=429", messages=HELLO)
    assert e.value.response["Error"]["Code"] == "ThrottlingException"
    for fault in ["cut", "unterminated", "error"]:
        for name in ["f-openai", "f-anthropic"]:
            with pytest.raises((EventStreamError, ClientError)):
                list(client.converse_stream(modelId=f"{name}?fault={fault}", messages=HELLO)["stream"])
