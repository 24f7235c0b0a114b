"""Drives the server with Ollama's package: chat, streams, a loop with a tool, generate, embeddings, lists, errors, async."""

import asyncio
import json
import os

import ollama

MODEL, EMBEDDER = os.environ["MODEL"], os.environ["EMBEDDER"]
client = ollama.Client()
CALM = {"temperature": 0, "num_predict": 32}


def refused(status, call):
    try:
        call()
    except ollama.ResponseError as error:
        assert error.status_code == status, error
        return error
    raise AssertionError(f"{status} was expected")


def ask(content, **options):
    options = {"options": CALM, **options}
    return client.chat(model=MODEL, messages=[{"role": "user", "content": content}], **options)


def chat():
    answer = ask("What is the capital of France?")
    assert "Paris" in answer.message.content and answer.message.role == "assistant", answer
    assert (answer.model, answer.done, answer.done_reason) == (MODEL, True, "stop"), answer
    assert answer.prompt_eval_count > 5 and 0 < answer.eval_count <= 32, answer
    parts = answer.load_duration + answer.prompt_eval_duration + answer.eval_duration
    assert answer.load_duration > 0 and answer.total_duration == parts, answer
    assert answer.total_duration > answer.eval_duration > 0, answer
    tagged = client.chat(model=f"{MODEL}:latest", messages=[{"role": "user", "content": "Hi"}], options=CALM)
    assert tagged.model == f"{MODEL}:latest" and tagged.message.content == ask("Hi").message.content
    cut = ask("Count to five.", options={**CALM, "num_predict": 2})
    assert (cut.done_reason, cut.eval_count) == ("length", 2), cut
    assert client.chat(model=MODEL, messages=[]).done_reason == "load"


def stream():
    whole = ask("Count to five.")
    chunks = list(ask("Count to five.", stream=True))
    assert len(chunks) > 3 and "".join(chunk.message.content for chunk in chunks) == whole.message.content, chunks
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    last = chunks[-1]
    assert (last.done_reason, last.eval_count) == (whole.done_reason, whole.eval_count), last
    assert last.prompt_eval_count == whole.prompt_eval_count
    word = whole.message.content[len(whole.message.content) // 2 :][:3]
    stopped = ask("Count to five.", options={**CALM, "stop": [word]})
    assert stopped.message.content == whole.message.content[: whole.message.content.index(word)]


def get_weather(city: str) -> str:
    """The weather of a city

    Args:
      city: The city's name
    """
    return f"It is 21 degrees and sunny in {city}."


def tools():
    question = {"role": "user", "content": "What is the weather in Paris? Use the tool."}
    options = {"model": MODEL, "tools": [get_weather], "options": {**CALM, "num_predict": 48}}
    whole = client.chat(messages=[question], **options)
    said, calls = "", []
    for chunk in client.chat(messages=[question], stream=True, **options):
        said += chunk.message.content or ""
        calls += chunk.message.tool_calls or []
    assert said == (whole.message.content or ""), (said, whole)
    assert [call.function for call in calls] == [call.function for call in whole.message.tool_calls or []], (calls, whole)
    # A full loop: the call, its result, and what the model makes of it; so small a one may call again.
    call = ollama.Message.ToolCall(function={"name": "get_weather", "arguments": {"city": "Paris"}})
    history = [
        question,
        ollama.Message(role="assistant", content="", tool_calls=[call]),
        ollama.Message(role="tool", tool_name="get_weather", content=get_weather("Paris")),
    ]
    answer = client.chat(messages=history, **options)
    assert answer.message.content or answer.message.tool_calls, answer
    assert answer.prompt_eval_count > whole.prompt_eval_count + 20
    lost = refused(400, lambda: client.chat(messages=history[::2], **options))
    assert "tool" in lost.error, lost


def generate():
    answer = client.generate(model=MODEL, prompt="What is the capital of France?", options=CALM)
    assert answer.response == ask("What is the capital of France?").message.content and answer.done, answer
    chunks = client.generate(model=MODEL, prompt="What is the capital of France?", options=CALM, stream=True)
    assert "".join(chunk.response for chunk in chunks) == answer.response
    raw = client.generate(model=MODEL, prompt="def fibonacci(n):", raw=True, options=CALM)
    assert raw.response != client.generate(model=MODEL, prompt="def fibonacci(n):", options=CALM).response
    system = client.generate(model=MODEL, prompt="Hi", system="Answer in one word.", options=CALM)
    assert system.prompt_eval_count != client.generate(model=MODEL, prompt="Hi", options=CALM).prompt_eval_count


def embed():
    one = client.embed(model=EMBEDDER, input="Hello, world!")
    assert len(one.embeddings) == 1 and len(one.embeddings[0]) == 384 and one.prompt_eval_count == 6, one
    two = client.embed(model=EMBEDDER, input=["Hello, world!", "Goodbye!"])
    assert two.embeddings[0] == one.embeddings[0] and len(two.embeddings) == 2
    assert client.embeddings(model=EMBEDDER, prompt="Hello, world!").embedding == one.embeddings[0]
    long = "word " * 400
    assert client.embed(model=EMBEDDER, input=long).prompt_eval_count == 256, "what is too long is cut"
    assert "256" in refused(400, lambda: client.embed(model=EMBEDDER, input=long, truncate=False)).error


def formats():
    schema = {"type": "object", "properties": {"city": {"enum": ["Ulm", "Rome"]}}, "required": ["city"]}
    answer = json.loads(ask("Name a city as JSON.", format=schema).message.content)
    assert answer["city"] in ("Ulm", "Rome"), answer
    parts = [part.message.content for part in ask("Name a city as JSON.", format=schema, stream=True)]
    assert json.loads("".join(parts)) == answer, parts
    generated = client.generate(model=MODEL, prompt="Name a city as JSON.", format=schema, options=CALM)
    assert json.loads(generated.response)["city"] in ("Ulm", "Rome"), generated
    loose = client.generate(model=MODEL, prompt="Name a city as JSON.", format="json", options=CALM)
    assert loose.response.lstrip().startswith("{"), loose


def models():
    listed = {model.model: model for model in client.list().models}
    assert {MODEL, EMBEDDER} <= set(listed), listed
    assert listed[MODEL].size > 90_000_000 and len(listed[MODEL].digest) == 64, listed
    assert listed[MODEL].details.format == "gguf" and listed[EMBEDDER].details.format == "safetensors"
    assert listed[MODEL].modified_at.year >= 2024
    assert client.show(MODEL).capabilities == ["completion", "tools", "thinking"]
    shown = client.show(EMBEDDER)
    assert shown.capabilities == ["embedding"] and shown.modelinfo["model.embedding_length"] == 384, shown
    running = {model.name: model for model in client.ps().models}
    assert running[EMBEDDER].context_length == 256 and running[MODEL].context_length > 256, running


def errors():
    stranger = ollama.Client(headers={"authorization": "Bearer wrong"})
    refused(401, stranger.list)
    assert "no-such-model" in refused(404, lambda: client.chat(model="no-such-model")).error
    refused(404, lambda: client.show("no-such-model"))
    assert "temperature" in refused(400, lambda: ask("x", options={"temperature": 9})).error
    assert "format" in refused(400, lambda: ask("x", format={"type": "string", "not": {}})).error
    refused(400, lambda: ask("word " * 20000))
    refused(400, lambda: list(ask("word " * 20000, stream=True)))
    assert "/v1/embeddings" in refused(400, lambda: client.chat(model=EMBEDDER, messages=[{"role": "user", "content": "x"}])).error
    assert "generates text" in refused(400, lambda: client.embed(model=MODEL, input="x")).error
    assert "no-such-model" in refused(400, lambda: client.pull("no-such-model")).error
    refused(400, lambda: client.pull("/etc/passwd"))
    # The test's own model has the name and is not from where the known one comes.
    assert "taken" in refused(400, lambda: client.pull(MODEL)).error
    # A pull that is told of as a stream has answered by then: the package gives no status to a failure inside it.
    assert "taken" in refused(-1, lambda: list(client.pull(MODEL, stream=True))).error


async def asynchronous():
    client = ollama.AsyncClient()

    async def one(number):
        messages = [{"role": "user", "content": f"Say the number {number}."}]
        text = ""
        async for chunk in await client.chat(model=MODEL, messages=messages, options=CALM, stream=True):
            text += chunk.message.content
        return text

    together = await asyncio.gather(*(one(number) for number in range(8)))
    assert together == [await one(number) for number in range(8)]

    # Who leaves in the middle ends the answer there.
    stream = await client.chat(model=MODEL, messages=[{"role": "user", "content": "Count to a million."}], stream=True)
    async for chunk in stream:
        break
    await stream.aclose()


chat()
stream()
tools()
generate()
formats()
embed()
models()
errors()
asyncio.run(asynchronous())
