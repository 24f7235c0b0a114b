"""Drives the server's embeddings with the official SDK: both encodings, every form of input, errors, many at once."""

import array
import asyncio
import base64
import json
import math
import os

import openai

CHAT, MODEL = os.environ["MODEL"], os.environ["EMBEDDER"]
client = openai.OpenAI(max_retries=0)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def embed(input, **options):
    return client.embeddings.create(model=MODEL, input=input, **options)


def vectors(answer):
    return [item.embedding for item in answer.data]


def close(one, other):
    return all(abs(a - b) < 1e-6 for a, b in zip(one, other, strict=True))


def against_the_reference():
    with open(os.environ["FIXTURE"] + "/texts.json") as file:
        texts = json.load(file)
    expected = array.array("f")
    with open(os.environ["FIXTURE"] + "/vectors.f32", "rb") as file:
        expected.frombytes(file.read())
    answer = embed([text["text"] for text in texts])
    assert [item.index for item in answer.data] == list(range(50))
    for number, found in enumerate(vectors(answer)):
        wanted = expected[384 * number : 384 * (number + 1)]
        cosine = sum(a * b for a, b in zip(found, wanted, strict=True))
        assert cosine > 1 - 1e-4, (texts[number], cosine)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(len(text["tokens"]) for text in texts)
    # Token ids are used as they are.
    by_ids = embed([text["tokens"] for text in texts])
    assert vectors(by_ids) == vectors(answer) and by_ids.usage == answer.usage


def forms():
    one = embed("Hello, world!")
    assert one.object == "list" and one.model == MODEL and one.data[0].object == "embedding"
    assert len(one.data) == 1 and math.isclose(sum(x * x for x in one.data[0].embedding), 1, abs_tol=1e-5)
    assert embed(["Hello, world!"]).data == one.data
    # The SDK asks for base64 by itself; floats as text are the same numbers.
    assert close(embed("Hello, world!", encoding_format="float").data[0].embedding, one.data[0].embedding)
    raw = embed("Hello, world!", encoding_format="base64").data[0].embedding
    assert array.array("f", base64.b64decode(raw)).tolist() == one.data[0].embedding
    cat, kitten, stocks = vectors(embed(["A cat sits.", "A kitten is sitting.", "Stock prices fell."]))
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert dot(cat, kitten) > 0.6 > 0.3 > dot(cat, stocks)
    assert vectors(embed("Hello, world!", dimensions=384)) == vectors(one)
    many = embed([f"text number {number}" for number in range(2048)])
    assert len(many.data) == 2048 and vectors(embed("text number 2047"))[0] == many.data[2047].embedding


def errors():
    wrong = refused(openai.BadRequestError, lambda: embed("x", dimensions=128))
    assert wrong.param == "dimensions" and "384" in wrong.message, wrong
    long = refused(openai.BadRequestError, lambda: embed(["short", "word " * 300, "short"]))
    assert (long.param, long.code) == ("input[1]", "context_length_exceeded"), long
    assert refused(openai.BadRequestError, lambda: embed([[101, 99999, 102]])).param == "input[0]"
    assert refused(openai.BadRequestError, lambda: embed(["x"] * 2049)).param == "input"
    assert refused(openai.BadRequestError, lambda: embed([])).param == "input"
    chat = refused(openai.BadRequestError, lambda: client.embeddings.create(model=CHAT, input="x"))
    assert chat.param == "model" and "generates text" in chat.message, chat
    message = [{"role": "user", "content": "Hi"}]
    other = refused(openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=message))
    assert other.param == "model" and "/v1/embeddings" in other.message, other
    refused(openai.NotFoundError, lambda: client.embeddings.create(model="no-such-model", input="x"))
    refused(openai.AuthenticationError, lambda: openai.OpenAI(api_key="wrong").embeddings.create(model=MODEL, input="x"))


def rerank():
    body = {
        "model": MODEL,
        "query": "What is the capital of France?",
        "documents": ["Stock prices fell.", "Paris is the capital of France.", "A cat sits."],
        "top_n": 2,
    }
    answer = client.post("/rerank", body=body, cast_to=object)
    assert answer["scored_by"] == "embedding_similarity", answer
    assert len(answer["results"]) == 2 and answer["results"][0]["index"] == 1, answer
    assert answer["results"][0]["relevance_score"] > 0.7, answer


async def asynchronous():
    texts = [f"This is sentence number {number}." for number in range(64)]
    together = vectors(embed(texts))
    async with openai.AsyncOpenAI(max_retries=0) as client:
        one = lambda text: client.embeddings.create(model=MODEL, input=text)
        alone = await asyncio.gather(*(one(text) for text in texts))
    # In whatever company a text is computed, its vector is the same to the last bit.
    assert [answer.data[0].embedding for answer in alone] == together


against_the_reference()
forms()
errors()
rerank()
asyncio.run(asynchronous())
