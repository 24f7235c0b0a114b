"""Drives the server with the official SDK: messages, streams, async, token counts, stop sequences, tools, models,
errors."""

import asyncio
import json
import os

import anthropic

MODEL = os.environ["MODEL"]
client = anthropic.Anthropic(max_retries=0)


def options(content, **more):
    # This version of the SDK has no parameter for the temperature; the API has.
    body = {"temperature": 0, **more.pop("extra_body", {})}
    return {
        "model": MODEL,
        "max_tokens": 32,
        "messages": [{"role": "user", "content": content}],
        "extra_body": body,
        **more,
    }


def ask(content, **more):
    return client.messages.create(**options(content, **more))


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def prompt(usage):
    return usage.input_tokens + usage.cache_read_input_tokens


def create():
    answer = ask("What is the capital of France?")
    assert "Paris" in answer.content[0].text, answer
    assert [block.type for block in answer.content] == ["text"]
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL), answer
    assert answer.id.startswith("msg_") and answer._request_id.startswith("req_"), answer
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None), answer
    assert answer.usage.output_tokens > 0 and answer.usage.cache_creation_input_tokens == 0, answer
    assert answer.usage.output_tokens_details.thinking_tokens == 0, answer.usage
    # A model that does not think has no use for an effort.
    assert ask("What is the capital of France?", output_config={"effort": "low"}).content == answer.content
    busy = lambda: ask("Hi", output_config={"effort": "none"})
    assert "output_config.effort" in refused(anthropic.BadRequestError, busy).body["error"]["message"]
    again = ask("What is the capital of France?")
    assert again.content == answer.content
    assert prompt(again.usage) == prompt(answer.usage), (again.usage, answer.usage)
    assert ask("Count to five.", max_tokens=2).stop_reason == "max_tokens"
    blocks = [{"type": "text", "text": "What is the capital of"}, {"type": "text", "text": "France?"}]
    assert ask(blocks).content == ask("What is the capital of\nFrance?").content
    system = [{"type": "text", "text": "You are a pirate.", "cache_control": {"type": "ephemeral"}}]
    assert ask("Hi", system=system).content == ask("Hi", system="You are a pirate.").content
    turns = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": answer.content},  # the SDK's own blocks come back as history
        {"role": "user", "content": "What is my name?"},
    ]
    assert prompt(ask("", messages=turns).usage) > prompt(ask("What is my name?").usage)


def stream():
    whole = ask("Count to five.")
    with client.messages.stream(**options("Count to five.")) as events:
        text = "".join(events.text_stream)
        final = events.get_final_message()
    assert text == whole.content[0].text, (text, whole)
    assert (final.content[0].text, final.stop_reason) == (text, whole.stop_reason), (final, whole)
    assert prompt(final.usage) == prompt(whole.usage), (final.usage, whole.usage)
    assert final.usage.output_tokens == whole.usage.output_tokens
    raw = list(ask("Count to five.", stream=True))
    kinds = [event.type for event in raw]
    assert kinds[:2] == ["message_start", "content_block_start"], kinds
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds
    assert set(kinds[2:-3]) == {"content_block_delta"}, kinds
    assert prompt(raw[0].message.usage) == prompt(whole.usage) and raw[0].message.stop_reason is None, raw[0]
    assert {event.index for event in raw[1:-2]} == {0}
    assert "".join(event.delta.text for event in raw[2:-3]) == text
    assert raw[-2].delta.stop_reason == whole.stop_reason


def stop_sequences():
    whole = ask("Count to five.").content[0].text
    word = whole[len(whole) // 2 : len(whole) // 2 + 3]
    cut = ask("Count to five.", stop_sequences=["no such text", word])
    assert cut.content[0].text == whole[: whole.index(word)], (cut, whole)
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", word), cut
    with client.messages.stream(**options("Count to five.", stop_sequences=[word])) as events:
        final = events.get_final_message()
    assert (final.content[0].text, final.stop_sequence) == (cut.content[0].text, word), final


def count_tokens():
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    count = client.messages.count_tokens(model=MODEL, messages=messages).input_tokens
    assert count == prompt(ask("What is the capital of France?").usage)
    assert client.messages.count_tokens(model=MODEL, messages=messages, system="Be very brief, please.").input_tokens != count


def tools():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    weather = {"name": "get_weather", "description": "The weather of a city", "input_schema": schema}
    question = {"role": "user", "content": "What is the weather in Paris? Use the tool."}
    asked = {"tools": [weather], "max_tokens": 48}
    whole = ask("", messages=[question], **asked)
    with client.messages.stream(**options("", messages=[question], **asked)) as events:
        final = events.get_final_message()
    plain = lambda message: [block.model_dump(exclude={"id"}) for block in message.content]
    assert plain(final) == plain(whole) and final.stop_reason == whole.stop_reason, (final, whole)
    # A full loop: the call, its result, and what the model makes of it; so small a one may call again.
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "It is 21 degrees and sunny in Paris."}
    history = [question, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    answer = ask("", messages=history, **asked)
    assert answer.content and answer.stop_reason in ("end_turn", "max_tokens", "tool_use"), answer
    assert prompt(answer.usage) > prompt(whole.usage) + 20, answer
    assert client.messages.count_tokens(model=MODEL, messages=history, tools=[weather]).input_tokens == prompt(answer.usage)
    lost = lambda: ask("", messages=[question, history[2]], **asked)
    assert "toolu_1" in refused(anthropic.BadRequestError, lost).body["error"]["message"]
    asked["max_tokens"] = 120
    for choice in ({"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "get_weather"}):
        forced = ask("", messages=[question], tool_choice=choice, **asked)
        assert [block.type for block in forced.content] == ["tool_use"] and forced.stop_reason == "tool_use", forced
        assert forced.content[0].name == "get_weather" and isinstance(forced.content[0].input["city"], str), forced
        with client.messages.stream(**options("", messages=[question], tool_choice=choice, **asked)) as events:
            assert plain(events.get_final_message()) == plain(forced)
    missing = lambda: ask("", messages=[question], tool_choice={"type": "tool", "name": "get_time"}, **asked)
    assert "tool_choice" in refused(anthropic.BadRequestError, missing).body["error"]["message"]


def structured():
    schema = {"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}, "required": ["color"]}
    form = {"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}}
    answer = ask("Pick a color.", extra_body={"output_config": form})
    assert json.loads(answer.content[0].text)["color"] in ("red", "blue"), answer


def models():
    listed = {model.id: model for model in client.models.list()}
    model = listed[MODEL]
    assert (model.type, model.display_name) == ("model", MODEL), model
    assert model.created_at.year >= 2024, model
    assert [model.id for model in client.models.list(limit=1)] == list(listed)
    assert client.models.retrieve(MODEL) == model
    refused(anthropic.NotFoundError, lambda: client.models.retrieve("no-such-model"))


def errors():
    stranger = anthropic.Anthropic(api_key="wrong", max_retries=0)
    error = refused(anthropic.AuthenticationError, lambda: stranger.messages.create(**options("x")))
    assert error.body["error"]["type"] == "authentication_error", error.body
    bearer = anthropic.Anthropic(api_key=None, auth_token=client.api_key, max_retries=0)
    assert bearer.messages.create(**options("Hi", max_tokens=1)).type == "message"
    missing = refused(anthropic.NotFoundError, lambda: ask("x", model="no-such-model"))
    assert missing.body["error"]["type"] == "not_found_error", missing.body
    assert missing.request_id == missing.body["request_id"] and missing.request_id.startswith("req_"), missing.body
    wrong = refused(anthropic.BadRequestError, lambda: ask("x", extra_body={"temperature": 1.5}))
    assert wrong.body["error"]["type"] == "invalid_request_error", wrong.body
    assert "temperature" in wrong.body["error"]["message"], wrong.body
    refused(anthropic.BadRequestError, lambda: ask("word " * 20000))
    refused(anthropic.BadRequestError, lambda: list(ask("word " * 20000, stream=True)))


async def asynchronous():
    async with anthropic.AsyncAnthropic(max_retries=0) as client:

        async def one(number):
            async with client.messages.stream(**options(f"Say the number {number}.", max_tokens=16)) as events:
                return "".join([text async for text in events.text_stream])

        together = await asyncio.gather(*(one(number) for number in range(8)))
        assert together == [await one(number) for number in range(8)]


create()
stream()
stop_sequences()
count_tokens()
tools()
structured()
models()
errors()
asyncio.run(asynchronous())
