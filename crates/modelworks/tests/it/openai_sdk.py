"""Drives the server with the official SDK: chat, streams, async, errors, models, logprobs, n, stop, tools,
answers of a form."""

import asyncio
import json
import os
import typing

import openai
import pydantic

MODEL = os.environ["MODEL"]
client = openai.OpenAI(max_retries=0)


def ask(content, **options):
    options = {"temperature": 0, "max_tokens": 32, **options}
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}], **options)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def chat():
    answer = ask("What is the capital of France?")
    assert "Paris" in answer.choices[0].message.content, answer
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL and answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0, answer.usage
    parts = [{"type": "text", "text": "What is the capital of"}, {"type": "text", "text": "France?"}]
    assert ask(parts).choices[0].message.content == ask("What is the capital of\nFrance?").choices[0].message.content
    system = client.chat.completions.create(
        model=MODEL,
        temperature=0,
        max_completion_tokens=8,
        messages=[{"role": "developer", "content": "Answer in one word."}, {"role": "user", "content": "Hi"}],
    )
    assert system.usage.completion_tokens <= 8


def stream():
    whole = ask("Count to five.")
    chunks = list(ask("Count to five.", stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content, (text, whole)
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == whole.choices[0].finish_reason and set(reasons[:-1]) == {None}, reasons
    # What was cached differs: the second request finds what the first has computed.
    usage = [(usage.prompt_tokens, usage.completion_tokens) for usage in (whole.usage, chunks[-1].usage)]
    assert chunks[-1].choices == [] and usage[0] == usage[1], chunks[-1]
    assert all(chunk.usage is None for chunk in chunks[:-1])


def several_choices():
    answer = ask("Name an animal.", n=3, temperature=1.0, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    again = ask("Name an animal.", n=3, temperature=1.0, seed=5)
    assert [c.message.content for c in answer.choices] == [c.message.content for c in again.choices]
    texts = ["", "", ""]
    for chunk in ask("Name an animal.", n=3, temperature=1.0, seed=5, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [c.message.content for c in answer.choices], (texts, answer)


def logprobs():
    answer = ask("What is the capital of France?", logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == answer.choices[0].message.content
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.logprob <= 0 and token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
        assert abs(token.top_logprobs[0].logprob - token.logprob) < 1e-5  # temperature 0 takes the likeliest
    plain = ask("What is the capital of France?")
    assert plain.choices[0].logprobs is None


def stop():
    whole = ask("Count to five.").choices[0].message.content
    word = whole[len(whole) // 2 : len(whole) // 2 + 3]
    cut = ask("Count to five.", stop=word)
    assert cut.choices[0].message.content == whole[: whole.index(word)], (cut, whole)
    assert cut.choices[0].finish_reason == "stop"
    assert ask("Count to five.", stop=["no such text", word]).choices[0].message.content == whole[: whole.index(word)]
    assert ask("Count to five.", max_tokens=2).choices[0].finish_reason == "length"


def completions():
    answer = client.completions.create(model=MODEL, prompt="def fibonacci(n):", max_tokens=16, temperature=0, logprobs=2)
    choice = answer.choices[0]
    assert answer.object == "text_completion" and answer.usage.completion_tokens <= 16
    assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) == len(choice.logprobs.top_logprobs)
    echoed = client.completions.create(model=MODEL, prompt="def fibonacci(n):", max_tokens=16, temperature=0, echo=True)
    assert echoed.choices[0].text == "def fibonacci(n):" + choice.text
    streamed = client.completions.create(model=MODEL, prompt="def fibonacci(n):", max_tokens=16, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == choice.text
    several = client.completions.create(model=MODEL, prompt=["One,", "Two,"], max_tokens=4, temperature=0)
    assert [choice.index for choice in several.choices] == [0, 1]


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def tools():
    question = {"role": "user", "content": "What is the weather in Paris? Use the tool."}
    options = {"model": MODEL, "temperature": 0, "max_tokens": 48, "tools": [WEATHER]}
    whole = client.chat.completions.create(messages=[question], **options)
    said, calls = "", {}
    for chunk in client.chat.completions.create(messages=[question], stream=True, **options):
        for delta in (choice.delta for choice in chunk.choices):
            said += delta.content or ""
            for call in delta.tool_calls or []:
                known = calls.setdefault(call.index, {"name": call.function.name, "arguments": ""})
                known["arguments"] += call.function.arguments
    message = whole.choices[0].message
    assert said == (message.content or ""), (said, whole)
    assert list(calls.values()) == [call.function.model_dump() for call in message.tool_calls or []], (calls, whole)
    # A full loop: the call, its result, and what the model makes of it; so small a one may call again.
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    history = [
        question,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 21 degrees and sunny in Paris."},
    ]
    answer = client.chat.completions.create(messages=history, **options)
    assert answer.choices[0].message.content or answer.choices[0].message.tool_calls, answer
    assert answer.usage.prompt_tokens > whole.usage.prompt_tokens + 20
    none = client.chat.completions.create(messages=[question], tool_choice="none", **options)
    assert none.usage.prompt_tokens < whole.usage.prompt_tokens - 20, "the model is not told of the tools"
    lost = refused(openai.BadRequestError, lambda: client.chat.completions.create(messages=history[::2], **options))
    assert lost.param == "messages[1].tool_call_id", lost
    unknown = {"type": "function", "function": {"name": "get_time"}}
    forced = lambda: client.chat.completions.create(messages=[question], tool_choice=unknown, **options)
    assert refused(openai.BadRequestError, forced).param == "tool_choice"


def forced_tools():
    """The model calls, gets the result and is made to call again; so small a one would not by itself."""
    time = {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}}}
    tools = [WEATHER, {"type": "function", "function": {**time, "strict": True}}]
    options = {"model": MODEL, "temperature": 0, "max_tokens": 120, "tools": tools, "parallel_tool_calls": False}
    history = [{"role": "user", "content": "What is the weather in Paris?"}]
    for round in range(2):
        answer = client.chat.completions.create(messages=history, tool_choice="required", **options)
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls" and len(choice.message.tool_calls) == 1, answer
        call = choice.message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        if call.function.name == "get_weather":
            assert isinstance(arguments["city"], str), arguments
        else:
            assert call.function.name == "get_time" and arguments.get("zone") in (None, "UTC", "CET"), call
        history += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "It is 21 degrees and sunny."}]
    final = client.chat.completions.create(messages=history, tool_choice="none", **options)
    assert final.choices[0].message.content and not final.choices[0].message.tool_calls, final
    named = {"type": "function", "function": {"name": "get_time"}}
    chunks = client.chat.completions.create(messages=history[:1], tool_choice=named, stream=True, **options)
    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert deltas[0].function.name == "get_time" and {delta.index for delta in deltas} == {0}, deltas
    json.loads("".join(delta.function.arguments for delta in deltas))


class Pet(pydantic.BaseModel):
    kind: typing.Literal["cat", "dog"]
    name: str = pydantic.Field(max_length=12)


class Household(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=20)
    people: int = pydantic.Field(ge=1, le=12)
    pets: list[Pet] = pydantic.Field(max_length=2)
    garden: bool | None


def structured():
    messages = [{"role": "user", "content": "Make up a household."}]
    options = {"model": MODEL, "messages": messages, "max_tokens": 300, "seed": 3}
    for temperature in (0, 1):
        answer = client.chat.completions.parse(response_format=Household, temperature=temperature, **options)
        assert isinstance(answer.choices[0].message.parsed, Household), answer
    with client.chat.completions.stream(response_format=Household, temperature=1, **options) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert streamed.parsed == answer.choices[0].message.parsed, (streamed, answer)
    cut = {**options, "max_tokens": 3}
    refused(openai.LengthFinishReasonError, lambda: client.chat.completions.parse(response_format=Household, **cut))
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"not": {}}}}}}
    error = refused(openai.BadRequestError, lambda: client.chat.completions.create(response_format=wrong, **options))
    assert error.param == "response_format.json_schema.schema" and "`not` at #/properties/a" in str(error), error
    chosen = client.chat.completions.create(extra_body={"structured_outputs": {"choice": ["red", "blue"]}}, **options)
    assert chosen.choices[0].message.content in ("red", "blue"), chosen


def models():
    listed = [model.id for model in client.models.list()]
    assert MODEL in listed, listed
    assert client.models.retrieve(MODEL).id == MODEL
    refused(openai.NotFoundError, lambda: client.models.retrieve("no-such-model"))


def errors():
    stranger = openai.OpenAI(api_key="wrong", max_retries=0)
    refused(openai.AuthenticationError, stranger.models.list)
    missing = refused(
        openai.NotFoundError,
        lambda: client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "x"}]),
    )
    assert missing.code == "model_not_found", missing
    wrong = refused(openai.BadRequestError, lambda: ask("x", temperature=9))
    assert wrong.param == "temperature", wrong
    long = refused(openai.BadRequestError, lambda: ask("word " * 20000))
    assert long.code == "context_length_exceeded", long


async def asynchronous():
    async with openai.AsyncOpenAI(max_retries=0) as client:

        async def one(number):
            stream = await client.chat.completions.create(
                model=MODEL,
                temperature=0,
                max_tokens=16,
                stream=True,
                messages=[{"role": "user", "content": f"Say the number {number}."}],
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        together = await asyncio.gather(*(one(number) for number in range(8)))
        assert together == [await one(number) for number in range(8)]


chat()
stream()
several_choices()
logprobs()
stop()
completions()
tools()
forced_tools()
structured()
models()
errors()
asyncio.run(asynchronous())
