// Drives the server with the official SDK for Node: chat, streams, a loop with a tool, responses, embeddings, errors, cancellation.

import assert from "node:assert/strict";
import OpenAI from "openai";

const { MODEL, EMBEDDER } = process.env;
const client = new OpenAI({ maxRetries: 0 });

const ask = (content, options) =>
  client.chat.completions.create({
    model: MODEL,
    temperature: 0,
    max_tokens: 32,
    messages: [{ role: "user", content }],
    ...options,
  });

async function chat() {
  const answer = await ask("What is the capital of France?");
  assert.match(answer.choices[0].message.content, /Paris/);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
}

async function stream() {
  const whole = await ask("Count to five.");
  let text = "";
  let usage = null;
  for await (const chunk of await ask("Count to five.", { stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  // The SDK's own accumulator.
  const runner = client.chat.completions.stream({
    model: MODEL,
    temperature: 0,
    max_tokens: 32,
    messages: [{ role: "user", content: "Count to five." }],
  });
  assert.equal(await runner.finalContent(), text);
  // Extension: the counts so far in every chunk.
  const options = { stream: true, stream_options: { continuous_usage_stats: true } };
  const counts = [];
  for await (const chunk of await ask("Count to five.", options)) {
    counts.push(chunk.usage.completion_tokens);
  }
  assert.deepEqual(counts, counts.toSorted((a, b) => a - b));
  assert.equal(counts.at(-1), whole.usage.completion_tokens);
}

async function tools() {
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const weather = { type: "function", function: { name: "get_weather", description: "The weather of a city", parameters } };
  const question = { role: "user", content: "What is the weather in Paris? Use the tool." };
  const whole = await ask("", { messages: [question], tools: [weather], max_tokens: 48 });
  const call = { id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city":"Paris"}' } };
  const history = [
    question,
    { role: "assistant", content: null, tool_calls: [call] },
    { role: "tool", tool_call_id: "call_1", content: "It is 21 degrees and sunny in Paris." },
  ];
  const answer = await ask("", { messages: history, tools: [weather], max_tokens: 48 });
  const message = answer.choices[0].message;
  assert.ok(message.content || message.tool_calls?.length);
  assert.ok(answer.usage.prompt_tokens > whole.usage.prompt_tokens + 20);
  const lost = ask("", { messages: [history[0], history[2]], tools: [weather] });
  await assert.rejects(lost, (error) => error instanceof OpenAI.BadRequestError && error.param === "messages[1].tool_call_id");
}

async function responses() {
  const body = { model: MODEL, input: "What is the capital of France?", temperature: 0, max_output_tokens: 32 };
  const whole = await client.responses.create(body);
  assert.match(whole.output_text, /Paris/);
  const events = client.responses.stream(body);
  let text = "";
  events.on("response.output_text.delta", (event) => (text += event.delta));
  const final = await events.finalResponse();
  assert.equal(text, whole.output_text);
  assert.equal(final.output_text, text);
  const kept = await client.responses.retrieve(final.id);
  assert.deepEqual(kept.output.map((item) => item.id), final.output.map((item) => item.id));
  assert.equal(kept.output[0].content[0].text, text);
  const continued = await client.responses.create({ ...body, input: "And of Italy?", previous_response_id: final.id });
  const items = [];
  for await (const item of client.responses.inputItems.list(continued.id, { order: "asc", limit: 2 })) {
    items.push(item.role);
  }
  assert.deepEqual(items, ["user", "assistant", "user"]);
  await client.responses.delete(final.id);
  await assert.rejects(client.responses.retrieve(final.id), OpenAI.NotFoundError);
}

async function embeddings() {
  const answer = await client.embeddings.create({ model: EMBEDDER, input: ["Hello, world!", "Goodbye!"] });
  assert.equal(answer.data.length, 2);
  // The SDK asks for base64 by itself, and decodes it.
  assert.ok(answer.data.every((item) => item.embedding.length === 384 && typeof item.embedding[0] === "number"));
  const length = answer.data[0].embedding.reduce((sum, x) => sum + x * x, 0);
  assert.ok(Math.abs(length - 1) < 1e-5);
  assert.equal(answer.usage.prompt_tokens, 10);
  const float = await client.embeddings.create({ model: EMBEDDER, input: "Hello, world!", encoding_format: "float" });
  float.data[0].embedding.forEach((x, i) => assert.ok(Math.abs(x - answer.data[0].embedding[i]) < 1e-6));
}

async function errors() {
  const stranger = new OpenAI({ apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  await assert.rejects(ask("x", { model: "no-such-model" }), OpenAI.NotFoundError);
  await assert.rejects(ask("x", { temperature: 9 }), (error) => error.status === 400 && error.param === "temperature");
  await assert.rejects(ask("word ".repeat(20000)), (error) => error.code === "context_length_exceeded");
  const listed = [];
  for await (const model of client.models.list()) {
    listed.push(model.id);
  }
  assert.ok(listed.includes(MODEL) && listed.includes(EMBEDDER));
}

async function cancellation() {
  const answer = await ask("Count to a million.", { stream: true, max_tokens: 2000, ignore_eos: true });
  for await (const chunk of answer) {
    if (chunk.choices[0].delta.content) {
      answer.controller.abort();
    }
  }
  const signal = AbortSignal.timeout(50);
  const late = client.chat.completions.create(
    { model: MODEL, messages: [{ role: "user", content: "Hi" }], max_tokens: 2000, ignore_eos: true },
    { signal },
  );
  await assert.rejects(late, OpenAI.APIUserAbortError);
}

for (const part of [chat, stream, tools, responses, embeddings, errors, cancellation]) {
  await part();
}
