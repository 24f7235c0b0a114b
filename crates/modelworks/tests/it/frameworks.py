"""Drives the server with LangChain (its packages for OpenAI, Anthropic and Ollama) and with LiteLLM."""

import asyncio
import os
import typing

import anthropic
import litellm
import openai
import pydantic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

MODEL, EMBEDDER = os.environ["MODEL"], os.environ["EMBEDDER"]
BASE, KEY = os.environ["BASE"], os.environ["KEY"]
QUESTION = "What is the capital of France?"


@tool
def get_weather(city: str) -> str:
    """The weather of a city"""
    return f"It is 21 degrees and sunny in {city}."


class Pet(pydantic.BaseModel, extra="forbid"):
    """A pet"""

    # Bounds of strings and numbers do not arrive: Anthropic's package moves them into descriptions.
    kind: typing.Literal["cat", "dog"]
    wild: bool


def open_ai(**options):
    options = {"temperature": 0, "max_tokens": 160, "max_retries": 0, **options}
    return ChatOpenAI(model=MODEL, base_url=f"{BASE}/v1", api_key=KEY, **options)


def claude(**options):
    return ChatAnthropic(model=MODEL, base_url=BASE, api_key=KEY, temperature=0, max_tokens=160, max_retries=0, **options)


def ollama():
    headers = {"headers": {"Authorization": f"Bearer {KEY}"}}
    return ChatOllama(model=MODEL, base_url=BASE, temperature=0, num_predict=160, client_kwargs=headers)


def text(message):
    """What a message says, whichever way its package keeps it."""
    return message.text if isinstance(message.text, str) else message.text()


def langchain_chats():
    for model in (open_ai(), open_ai(use_responses_api=True), claude(), ollama()):
        whole = model.invoke([SystemMessage("Answer in one sentence."), HumanMessage(QUESTION)])
        assert "Paris" in text(whole), (model, whole)
        assert whole.usage_metadata["output_tokens"] > 0, (model, whole)
        chunks = list(model.stream([SystemMessage("Answer in one sentence."), HumanMessage(QUESTION)]))
        assert "".join(text(chunk) for chunk in chunks) == text(whole), (model, chunks)
    both = open_ai().batch([QUESTION, "Count to five."])
    assert "Paris" in text(both[0]) and text(both[1]) != text(both[0]), both


def langchain_tools():
    """The model is made to call, gets the result, and answers."""
    for model, choice in ((open_ai(), "required"), (open_ai(use_responses_api=True), "required"), (claude(), "any")):
        history = [HumanMessage("What is the weather in Paris?")]
        called = model.bind_tools([get_weather], tool_choice=choice).invoke(history)
        assert isinstance(called, AIMessage) and {call["name"] for call in called.tool_calls} == {"get_weather"}, called
        results = [get_weather.invoke(call) for call in called.tool_calls]
        assert all(isinstance(result, ToolMessage) for result in results)
        final = model.bind_tools([get_weather]).invoke([*history, called, *results])
        assert text(final) or final.tool_calls, final


def langchain_forms():
    for model in (open_ai(), open_ai(use_responses_api=True), claude(), ollama()):
        for method in ("json_schema", "function_calling"):
            if method == "function_calling" and isinstance(model, ChatOllama):
                continue  # Ollama's API cannot force a call.
            pet = model.with_structured_output(Pet, method=method).invoke("Make up a cat.")
            assert isinstance(pet, Pet), (model, method, pet)


def langchain_embeddings():
    headers = {"headers": {"Authorization": f"Bearer {KEY}"}}
    options = {"base_url": f"{BASE}/v1", "api_key": KEY, "check_embedding_ctx_length": False}
    ours = OpenAIEmbeddings(model=EMBEDDER, **options).embed_documents(["a lake", "a river"])
    others = OllamaEmbeddings(model=EMBEDDER, base_url=BASE, client_kwargs=headers).embed_documents(["a lake", "a river"])
    assert len(ours) == 2 and len(ours[0]) == 384, ours
    assert all(abs(a - b) < 1e-5 for ours, others in zip(ours, others) for a, b in zip(ours, others))


def langchain_errors():
    wrong = {"base_url": f"{BASE}/v1", "api_key": "wrong", "max_retries": 0}
    for call, kind in (
        (lambda: ChatOpenAI(model=MODEL, **wrong).invoke("x"), openai.AuthenticationError),
        (lambda: open_ai(logit_bias={"1": 101}).invoke("x"), openai.BadRequestError),
        (lambda: claude().invoke("many words " * 9000), anthropic.BadRequestError),
    ):
        try:
            call()
        except kind:
            continue
        raise AssertionError(f"{kind.__name__} was expected")


async def langchain_later():
    """In one event loop, as its packages share clients. A task that is cancelled leaves nothing behind: the test looks at the
    server afterwards."""
    for model in (open_ai(), open_ai(use_responses_api=True), claude(), ollama()):
        answer = await model.ainvoke(QUESTION)
        assert "Paris" in text(answer), (model, answer)
    endless = open_ai(max_tokens=4000, extra_body={"ignore_eos": True})

    async def read():
        async for _ in endless.astream("Count for ever."):
            begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.done()


def litellm_families():
    messages = [{"role": "user", "content": QUESTION}]
    for model, base in (
        (f"openai/{MODEL}", f"{BASE}/v1"),
        (f"anthropic/{MODEL}", BASE),
        (f"ollama_chat/{MODEL}", BASE),
        (f"hosted_vllm/{MODEL}", f"{BASE}/v1"),
    ):
        options = {"model": model, "api_base": base, "api_key": KEY, "temperature": 0, "max_tokens": 48, "num_retries": 0}
        whole = litellm.completion(messages=messages, **options)
        said = whole.choices[0].message.content
        assert "Paris" in said and whole.usage.completion_tokens > 0, (model, whole)
        chunks = litellm.completion(messages=messages, stream=True, **options)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert streamed == said, (model, streamed, said)
        try:
            litellm.completion(messages=messages, **{**options, "api_key": "wrong"})
        except litellm.AuthenticationError:
            pass
        except litellm.APIConnectionError as error:
            assert "401" in str(error) or "API key" in str(error), (model, error)  # Its client for Ollama tells no more.
        else:
            raise AssertionError(f"{model} took a wrong key")
    options = {"model": f"openai/{MODEL}", "api_base": f"{BASE}/v1", "api_key": KEY, "max_tokens": 120}
    formed = litellm.completion(messages=[{"role": "user", "content": "Make up a cat."}], response_format=Pet, **options)
    Pet.model_validate_json(formed.choices[0].message.content)
    vectors = litellm.embedding(model=f"openai/{EMBEDDER}", api_base=f"{BASE}/v1", api_key=KEY, input=["a", "b"])
    assert [len(item["embedding"]) for item in vectors.data] == [384, 384], vectors


langchain_chats()
langchain_tools()
langchain_forms()
langchain_embeddings()
langchain_errors()
asyncio.run(langchain_later())
litellm_families()
