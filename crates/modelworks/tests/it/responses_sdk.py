"""Drives the Responses API with the official SDK: whole, streamed, tools, forms, kept, continued, in the background."""

import asyncio
import json
import os
import time
import typing

import openai
import pydantic

MODEL = os.environ["MODEL"]
client = openai.OpenAI(max_retries=0)


def ask(content, **options):
    options = {"temperature": 0, "max_output_tokens": 32, **options}
    return client.responses.create(model=MODEL, input=content, **options)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def whole():
    answer = ask("What is the capital of France?", metadata={"a": "b"})
    assert "Paris" in answer.output_text and answer.status == "completed", answer
    assert answer.model == MODEL and answer.object == "response" and answer.id.startswith("resp_")
    assert answer.output[0].type == "message" and answer.output[0].role == "assistant"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.usage.output_tokens_details.reasoning_tokens == 0 and answer.metadata == {"a": "b"}
    again = ask([{"role": "user", "content": [{"type": "input_text", "text": "What is the capital of France?"}]}])
    assert again.output_text == answer.output_text and again.usage.input_tokens_details.cached_tokens > 0, again
    chat = client.chat.completions.create(
        model=MODEL, temperature=0, max_tokens=32, messages=[{"role": "user", "content": "What is the capital of France?"}]
    )
    assert chat.choices[0].message.content == answer.output_text, "one model says one thing, whatever API asks"
    cut = ask("Count to twenty.", max_output_tokens=2)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens", cut
    likely = ask("Hi", include=["message.output_text.logprobs"], top_logprobs=2)
    part = likely.output[0].content[0]
    assert b"".join(bytes(token.bytes) for token in part.logprobs).decode().startswith(part.text), likely
    assert all(len(token.top_logprobs) == 2 for token in part.logprobs)


def streamed():
    expect = ask("Count to five.")
    deltas, kinds = "", []
    with client.responses.stream(model=MODEL, input="Count to five.", temperature=0, max_output_tokens=32) as stream:
        for number, event in enumerate(stream):
            assert event.sequence_number == number, event
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                deltas += event.delta
                assert event.snapshot == deltas
        if kinds[-1] == "response.completed":
            assert stream.get_final_response().output_text == deltas
    assert deltas == expect.output_text, (deltas, expect)
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ], kinds
    last = "response.completed" if expect.status == "completed" else "response.incomplete"
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", last,
    ], kinds
    raw = list(ask("Count to five.", stream=True))
    assert raw[-1].response.output_text == deltas
    assert client.responses.retrieve(raw[-1].response.id).output_text == deltas


WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]},
}


def tools():
    """The model is made to call, gets the result, and answers: given back as items, and continued by id."""
    options = {"tools": [WEATHER], "max_output_tokens": 100}
    history = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = ask(history, tool_choice="required", parallel_tool_calls=False, **options)
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 1 and calls[0].name == "get_weather", first
    assert isinstance(json.loads(calls[0].arguments)["city"], str), first
    result = {"type": "function_call_output", "call_id": calls[0].call_id, "output": "It is 21 degrees and sunny."}
    given_back = ask([*history, *first.output, result], tool_choice="none", store=False, **options)
    continued = ask([result], previous_response_id=first.id, tool_choice="none", **options)
    assert given_back.output_text and given_back.output_text == continued.output_text, (given_back, continued)
    assert given_back.usage.input_tokens == continued.usage.input_tokens, (given_back, continued)
    kinds = [event.type for event in ask(history, tool_choice={"type": "function", "name": "get_weather"}, stream=True, **options)]
    assert "response.function_call_arguments.delta" in kinds and "response.function_call_arguments.done" in kinds, kinds
    alone = {"tool_choice": "required", "parallel_tool_calls": False}
    with client.responses.stream(model=MODEL, input=history, temperature=0, **alone, **options) as stream:
        final = stream.get_final_response()
    assert [item.type for item in final.output] == [item.type for item in first.output], final
    assert final.output[-1].arguments == first.output[-1].arguments, final
    lost = refused(openai.BadRequestError, lambda: ask([*history, result]))
    assert lost.param == "input[1].call_id", lost
    web = refused(openai.BadRequestError, lambda: ask("x", tools=[{"type": "web_search"}]))
    assert web.param == "tools[0].type" and web.code == "unsupported_value", web


class Pet(pydantic.BaseModel):
    kind: typing.Literal["cat", "dog"]
    name: str = pydantic.Field(max_length=12)


def parsed():
    options = {"model": MODEL, "input": "Make up a pet.", "text_format": Pet, "temperature": 0, "max_output_tokens": 100}
    answer = client.responses.parse(**options)
    assert isinstance(answer.output_parsed, Pet) and answer.status == "completed", answer
    with client.responses.stream(**options) as stream:
        assert stream.get_final_response().output_parsed == answer.output_parsed


def kept():
    first = ask("My name is Ada.", instructions="Be brief.")
    assert client.responses.retrieve(first.id).to_dict() == first.to_dict()
    second = ask("What is my name?", previous_response_id=first.id)
    assert second.previous_response_id == first.id and second.usage.input_tokens > first.usage.input_tokens
    same = ask(
        [{"role": "user", "content": "My name is Ada."}, *first.output, {"role": "user", "content": "What is my name?"}]
    )
    assert same.output_text == second.output_text, (same, second)
    items = list(client.responses.input_items.list(second.id, order="asc", limit=2))
    assert [item.role for item in items] == ["user", "assistant", "user"], items
    assert items[2].content[0].text == "What is my name?"
    latest = client.responses.input_items.list(second.id, limit=1)
    assert latest.data[0].id == items[2].id and latest.has_more
    client.responses.delete(first.id)
    refused(openai.NotFoundError, lambda: client.responses.retrieve(first.id))
    refused(openai.NotFoundError, lambda: client.responses.delete(first.id))
    gone = refused(openai.NotFoundError, lambda: ask("x", previous_response_id=first.id))
    assert gone.param == "previous_response_id", gone
    unkept = ask("Hi", store=False)
    refused(openai.NotFoundError, lambda: client.responses.retrieve(unkept.id))


def background():
    response = ask("Count to ten.", background=True)
    assert response.status == "queued" and response.background, response
    while response.status in ("queued", "in_progress"):
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    assert response.status in ("completed", "incomplete") and response.output_text, response
    assert response.output_text == ask("Count to ten.").output_text
    long = ask("Write a very long story about the sea.", background=True, max_output_tokens=2000, temperature=1)
    while client.responses.retrieve(long.id).status == "queued":
        time.sleep(0.05)
    cancelled = client.responses.cancel(long.id)
    assert cancelled.status == "cancelled" and client.responses.retrieve(long.id).status == "cancelled", cancelled
    # Who listens may leave: the response goes on.
    with client.responses.create(model=MODEL, input="Count to ten.", temperature=0, max_output_tokens=32, background=True, stream=True) as events:
        left = next(iter(events)).response
    # And comes back to the events behind those that were read, while it runs or after.
    with client.responses.retrieve(left.id, stream=True, starting_after=0) as events:
        rest = list(events)
    assert [event.sequence_number for event in rest] == list(range(1, len(rest) + 1)), rest
    assert rest[-1].response.output_text == response.output_text, rest[-1]
    with client.responses.stream(response_id=left.id, starting_after=2) as events:
        again = list(events)
    assert [event.sequence_number for event in again] == list(range(3, len(rest) + 1)), again
    assert again[-1].response.output_text == response.output_text, again[-1]
    assert client.responses.retrieve(left.id).output_text == response.output_text
    plain = ask("Hi")
    refused(openai.BadRequestError, lambda: client.responses.cancel(plain.id))


async def asynchronous():
    async with openai.AsyncOpenAI(max_retries=0) as client:

        async def one(number):
            options = {"model": MODEL, "temperature": 0, "max_output_tokens": 16, "input": f"Say the number {number}."}
            async with client.responses.stream(**options) as stream:
                return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

        together = await asyncio.gather(*(one(number) for number in range(4)))
        assert together == [await one(number) for number in range(4)]


whole()
streamed()
tools()
parsed()
kept()
background()
asyncio.run(asynchronous())
