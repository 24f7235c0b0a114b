"""Validates the OpenAPI document, and asks every operation with what the document allows and with what it forbids.

No answer may be a 5xx or have a status that the document does not name.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from openapi_spec_validator import validate

BASE, KEY = os.environ["BASE"], os.environ["KEY"]


def call(method, path, body=None):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


document = call("GET", "/openapi.json")
validate(document)

# What paths name exists, and is nothing that the run itself needs.
org = call("POST", "/admin/v1/organisations", {"name": "acme"})["id"]
project = call("POST", f"/admin/v1/organisations/{org}/projects", {"name": "web"})["id"]
key = call("POST", f"/admin/v1/organisations/{org}/keys", {"project_id": project, "name": "app"})["id"]
user = call("POST", "/admin/v1/users", {"email": "ann@example.com"})["id"]
answered = call("POST", "/v1/responses", {"model": os.environ["MODEL"], "input": "Hi", "max_output_tokens": 16})["id"]

parameters = {"org": org, "project": project, "key": key, "user": user, "month": "2026-01"}
operations = [
    # A pull would ask the hub.
    {"include-path": "/api/pull", "enabled": False},
    {"include-path-regex": "^/v1/models/", "parameters": {"path.id": os.environ["MODEL"]}},
    {"include-path-regex": "^/v1/responses/", "parameters": {"path.id": answered}},
]


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


with tempfile.TemporaryDirectory() as folder:
    Path(folder, "openapi.json").write_text(json.dumps(document))
    settings = {
        "parameters": {f"path.{name}": value for name, value in parameters.items()},
        "operations": operations,
    }
    Path(folder, "schemathesis.toml").write_text("".join(f"{name} = {toml(value)}\n" for name, value in settings.items()))
    arguments = [
        *("run", "openapi.json", "--url", BASE, "--header", f"Authorization: Bearer {KEY}"),
        *("--checks", "not_a_server_error,status_code_conformance", "--phases", "coverage,fuzzing"),
        *("--max-examples", "10", "--generation-deterministic", "--generation-with-security-parameters", "false"),
        *("--continue-on-failure", "--request-timeout", "120", "--workers", "1", "--no-color"),
    ]
    program = Path(sys.executable).with_name("schemathesis")
    run = subprocess.run([program, *arguments], cwd=folder, text=True, capture_output=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-5_000:]
    # The tool has asked, and with a key that counts.
    assert "Authentication failed" not in run.stdout, run.stdout
    assert int(re.search(r"([0-9]+) generated", run.stdout)[1]) > 3_000, run.stdout
    print(run.stdout)
