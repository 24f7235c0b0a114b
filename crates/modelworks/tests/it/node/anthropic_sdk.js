// Drives the server with Anthropic's SDK for Node: messages, streams, a loop with a tool, counting, errors, cancellation.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const { MODEL } = process.env;
const client = new Anthropic({ maxRetries: 0 });

const body = (content, options) => ({
  model: MODEL,
  temperature: 0,
  max_tokens: 32,
  messages: [{ role: "user", content }],
  ...options,
});
const ask = (content, options) => client.messages.create(body(content, options));
const prompt = (usage) => usage.input_tokens + usage.cache_read_input_tokens;

async function create() {
  const answer = await ask("What is the capital of France?");
  assert.match(answer.content[0].text, /Paris/);
  assert.deepEqual([answer.type, answer.role, answer.stop_reason], ["message", "assistant", "end_turn"]);
}

async function stream() {
  const whole = await ask("Count to five.");
  const events = client.messages.stream(body("Count to five."));
  let text = "";
  events.on("text", (piece) => (text += piece));
  const final = await events.finalMessage();
  assert.equal(text, whole.content[0].text);
  assert.deepEqual(final.content, whole.content);
  assert.deepEqual([final.stop_reason, final.usage.output_tokens], [whole.stop_reason, whole.usage.output_tokens]);
}

async function tools() {
  const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const weather = { name: "get_weather", description: "The weather of a city", input_schema };
  const question = { role: "user", content: "What is the weather in Paris? Use the tool." };
  const options = { tools: [weather], max_tokens: 48 };
  const whole = await ask("", { messages: [question], ...options });
  const call = { type: "tool_use", id: "toolu_1", name: "get_weather", input: { city: "Paris" } };
  const result = { type: "tool_result", tool_use_id: "toolu_1", content: "It is 21 degrees and sunny in Paris." };
  const history = [question, { role: "assistant", content: [call] }, { role: "user", content: [result] }];
  const answer = await ask("", { messages: history, ...options });
  assert.ok(answer.content.length > 0);
  assert.ok(prompt(answer.usage) > prompt(whole.usage) + 20);
  const count = await client.messages.countTokens({ model: MODEL, messages: history, tools: [weather] });
  assert.equal(count.input_tokens, prompt(answer.usage));
}

async function errors() {
  const stranger = new Anthropic({ apiKey: "wrong", authToken: null, maxRetries: 0 });
  await assert.rejects(stranger.messages.create(body("x")), Anthropic.AuthenticationError);
  await assert.rejects(ask("x", { model: "no-such-model" }), Anthropic.NotFoundError);
  await assert.rejects(ask("word ".repeat(20000)), Anthropic.BadRequestError);
  await assert.rejects(client.messages.stream(body("word ".repeat(20000))).finalMessage(), Anthropic.BadRequestError);
}

async function cancellation() {
  const events = client.messages.stream(body("Count to a million.", { max_tokens: 2000 }));
  events.on("text", () => events.abort());
  await assert.rejects(events.finalMessage(), Anthropic.APIUserAbortError);
}

for (const part of [create, stream, tools, errors, cancellation]) {
  await part();
}
