"""boto3 and the AWS CLI as they come: credentials that the gateway issued for a key, endpoint_url, and nothing else."""
import datetime
import http.client
import json
import os
import subprocess
import sys
import urllib.request
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EventStreamError

from conftest import URL

ID = os.environ["WEIR_AWS_ACCESS_KEY_ID"]
SECRET = os.environ["WEIR_AWS_SECRET_ACCESS_KEY"]
HELLO = [{"role": "user", "content": [{"text": "hello there"}]}]
# Names that a path can't hold as they are, and that SDK and gateway must escape alike.
NAMES = ["f-openai:0", "f-openai/a b", "f-openai(x)!*'~@$&=+,;", "f-openai%2Fx", "f-openai模型", "f-openai.arn:aws:bedrock:us-east-1:1:inference-profile/us.x-v1:0"]


def make(endpoint=URL + "/bedrock", id=ID, secret=SECRET, region="us-east-1", **more):
    return boto3.client("bedrock-runtime", endpoint_url=endpoint, region_name=region, aws_access_key_id=id, aws_secret_access_key=secret,
                        config=Config(retries={"max_attempts": 0}), **more)


def text_of(r):
    return r["output"]["message"]["content"][0]["text"]


@pytest.mark.parametrize("endpoint", [URL, URL + "/bedrock", URL + "/bedrock/"])
def test_converse(model, endpoint):
    client = make(endpoint)
    r = client.converse(modelId=model, messages=HELLO)
    assert "hello there" in text_of(r) and r["usage"]["totalTokens"] > 0
    events = list(client.converse_stream(modelId=model, messages=HELLO)["stream"])
    assert "hello there" in "".join(e["contentBlockDelta"]["delta"].get("text", "") for e in events if "contentBlockDelta" in e)
    assert "metadata" in events[-1]


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    assert "hello there" in text_of(make().converse(modelId=name, messages=HELLO))


def test_regions_and_session_token():
    assert "hello there" in text_of(make(region="eu-central-1").converse(modelId="demo", messages=HELLO))
    assert "hello there" in text_of(make(aws_session_token="left over from elsewhere").converse(modelId="demo", messages=HELLO))


def test_count_tokens():
    assert make().count_tokens(modelId="demo", input={"converse": {"messages": HELLO}})["inputTokens"] > 0


def fails(code, status, call):
    with pytest.raises(ClientError) as e:
        call()
    assert e.value.response["Error"]["Code"] == code, e.value
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    return e.value.response["Error"]["Message"]


def test_errors():
    fails("InvalidSignatureException", 403, lambda: make(secret=SECRET[:-1] + "x").converse(modelId="demo", messages=HELLO))
    fails("UnrecognizedClientException", 403, lambda: make(id="AKIAWEIRAAAAAAAAAAAA").converse(modelId="demo", messages=HELLO))
    fails("UnrecognizedClientException", 403, lambda: make(id="sk-client-suite-key").converse(modelId="demo", messages=HELLO))
    assert "nope" in fails("ValidationException", 400, lambda: make().converse(modelId="nope", messages=HELLO))
    fails("ThrottlingException", 429, lambda: make().converse(modelId="f-openai?fault=429", messages=HELLO))
    with pytest.raises((EventStreamError, ClientError)):
        list(make().converse_stream(modelId="f-openai?fault=cut", messages=HELLO)["stream"])


def signed(at=None, service="bedrock", path="/bedrock/model/demo/converse", headers=None, monkeypatch=None):
    """A request as botocore signs it: method, target, headers, body."""
    body = json.dumps({"messages": HELLO})
    r = AWSRequest("POST", URL + path, headers={"Content-Type": "application/json", "X-Amz-Note": "one", **(headers or {})}, data=body)
    if at:
        import botocore.auth
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: at.replace(tzinfo=None if remove_tzinfo else at.tzinfo))
    SigV4Auth(Credentials(ID, SECRET), service, "us-east-1").add_auth(r)
    p = r.prepare()
    u = urlsplit(p.url)
    return "POST", u.path + ("?" + u.query if u.query else ""), {k: v.decode() if isinstance(v, bytes) else v for k, v in p.headers.items()}, body


def send(method, target, headers, body):
    u = urlsplit(URL)
    c = http.client.HTTPConnection(u.hostname, u.port, timeout=30)
    c.request(method, target, body=body.encode(), headers={**headers, "Content-Length": str(len(body.encode()))})
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, r.headers.get("x-amzn-ErrorType", ""), text.decode()


def test_every_part_is_signed():
    method, target, headers, body = signed(path="/bedrock/model/f-openai%3A0/converse?a=1")
    assert send(method, target, headers, body)[0] == 200
    last = len(body) - body[::-1].index("t") - 1
    changed = {
        "body": (method, target, headers, body[:last] + "T" + body[last + 1:]),
        "body, longer": (method, target, headers, body + " "),
        "path": (method, target.replace("f-openai", "f-openaI"), headers, body),
        "path, escaped": (method, target.replace("%3A", "%3a"), headers, body),
        "path, as a stream": (method, target.replace("/converse", "/converse-stream"), headers, body),
        "query": (method, target.replace("a=1", "a=2"), headers, body),
        "query, more": (method, target + "&b=2", headers, body),
        "header": (method, target, {**headers, "X-Amz-Note": "two"}, body),
        "content type": (method, target, {**headers, "Content-Type": "application/jsoN"}, body),
        "host": (method, target, {**headers, "Host": "another.example"}, body),
    }
    date, authorization = headers["X-Amz-Date"], headers["Authorization"]
    changed |= {
        "date": (method, target, {**headers, "X-Amz-Date": date[:-2] + ("0" if date[-2] != "0" else "1") + "Z"}, body),
        "region": (method, target, {**headers, "Authorization": authorization.replace("us-east-1", "us-east-2")}, body),
        "service": (method, target, {**headers, "Authorization": authorization.replace("/bedrock/", "/s3/")}, body),
        "signature": (method, target, {**headers, "Authorization": authorization[:-1] + ("0" if authorization[-1] != "0" else "1")}, body),
        "unsigned": (method, target, {**headers, "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}, body),
    }
    for what, request in changed.items():
        status, kind, text = send(*request)
        assert (status, kind) == (403, "InvalidSignatureException"), f"{what}: {status} {kind} {text}"
        assert SECRET not in text


def test_clock(monkeypatch):
    now = datetime.datetime.now(datetime.timezone.utc)
    for minutes, says in [(-4, None), (4, None), (-6, "Signature expired"), (6, "Signature not yet current")]:
        status, kind, text = send(*signed(at=now + datetime.timedelta(minutes=minutes), monkeypatch=monkeypatch))
        assert (status, kind) == ((403, "InvalidSignatureException") if says else (200, "")), text
        assert (says or "") in text


def test_scope_and_form():
    status, kind, text = send(*signed(service="s3control"))
    assert (status, kind) == (403, "InvalidSignatureException") and "correct service: 'bedrock'" in text
    method, target, headers, body = signed()
    headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=" + ID
    status, kind, text = send(method, target, headers, body)
    assert (status, kind) == (400, "IncompleteSignatureException")


def cli(*args, secret=SECRET, tmp_path="/nonexistent"):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path) + "/config", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path) + "/credentials",
           "AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-west-2",
           "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": URL + "/bedrock", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
    return subprocess.run([os.path.join(os.path.dirname(sys.executable), "aws"), "bedrock-runtime", *args], env=env, capture_output=True, text=True, timeout=60)


def admin(path, body):
    r = urllib.request.Request(URL + path, json.dumps(body).encode(), {"Authorization": "Bearer " + os.environ["WEIR_MASTER_KEY"], "Content-Type": "application/json"})
    with urllib.request.urlopen(r, timeout=30) as answer:
        return json.load(answer)


def test_what_holds_for_the_key_holds_for_its_credentials():
    made = admin("/key/generate", {"models": ["demo"], "aws_credentials": True})
    client = make(id=made["aws_access_key_id"], secret=made["aws_secret_access_key"])
    hello = lambda model="demo", c=client: c.converse(modelId=model, messages=HELLO)
    assert "hello there" in text_of(hello())
    fails("AccessDeniedException", 403, lambda: hello("m-openai"))
    again = admin(f"/key/{made['token_id']}/aws-credentials", {})
    fails("UnrecognizedClientException", 403, hello)
    client2 = make(id=again["aws_access_key_id"], secret=again["aws_secret_access_key"])
    assert "hello there" in text_of(hello(c=client2))
    admin("/key/update", {"key": made["key"], "rpm_limit": 0})
    fails("ThrottlingException", 429, lambda: hello(c=client2))
    admin("/key/update", {"key": made["key"], "rpm_limit": 100})
    assert "hello there" in text_of(hello(c=client2))
    admin("/key/block", {"key": made["key"]})
    with pytest.raises(ClientError) as e:
        hello(c=client2)
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] in (401, 403)


def test_cli(tmp_path):
    for name in ["demo", "f-openai:0/x"]:
        r = cli("converse", "--model-id", name, "--messages", json.dumps(HELLO), "--inference-config", "maxTokens=200", "--output", "json", tmp_path=tmp_path)
        assert r.returncode == 0, r.stderr
        assert "hello there" in text_of(json.loads(r.stdout))
    r = cli("converse", "--endpoint-url", URL, "--model-id", "demo", "--messages", json.dumps(HELLO), "--query", "stopReason", "--output", "text", tmp_path=tmp_path)
    assert (r.returncode, r.stdout.strip()) == (0, "end_turn"), r.stderr


def test_cli_errors(tmp_path):
    r = cli("converse", "--model-id", "demo", "--messages", json.dumps(HELLO), secret="x" * 40, tmp_path=tmp_path)
    assert r.returncode != 0 and "InvalidSignatureException" in r.stderr, r.stderr
    r = cli("converse", "--model-id", "nope", "--messages", json.dumps(HELLO), tmp_path=tmp_path)
    assert r.returncode != 0 and "ValidationException" in r.stderr and "nope" in r.stderr, r.stderr
