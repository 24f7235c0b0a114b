// Drives the server with Vercel's `ai` and its providers for OpenAI (chat and responses), for whatever speaks OpenAI's API, and for
// Anthropic: chat, streams, a loop with a tool, structured output, embeddings, errors, cancellation.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, embed, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, EMBEDDER, MODEL, OPENAI_API_KEY, OPENAI_BASE_URL } = process.env;

const providers = (apiKey) => {
  const openai = createOpenAI({ apiKey, baseURL: OPENAI_BASE_URL });
  const compatible = createOpenAICompatible({
    name: "modelworks",
    apiKey,
    baseURL: OPENAI_BASE_URL,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  const anthropic = createAnthropic({ apiKey, baseURL: `${ANTHROPIC_BASE_URL}/v1` });
  return {
    chat: (model) => openai.chat(model),
    responses: (model) => openai.responses(model),
    compatible: (model) => compatible.chatModel(model),
    anthropic: (model) => anthropic(model),
    embedders: [openai.embedding(EMBEDDER), compatible.embeddingModel(EMBEDDER)],
  };
};

assert.equal(OPENAI_API_KEY, ANTHROPIC_API_KEY);
const { embedders, ...models } = providers(OPENAI_API_KEY);
const plain = { temperature: 0, maxOutputTokens: 32, maxRetries: 0 };

async function chat(model) {
  const answer = await generateText({ ...plain, model: model(MODEL), prompt: "What is the capital of France?" });
  assert.match(answer.text, /Paris/);
  assert.equal(answer.finishReason, "stop");
  const { inputTokens, outputTokens, totalTokens } = answer.usage;
  assert.ok(inputTokens > 10 && outputTokens > 0);
  assert.equal(totalTokens, inputTokens + outputTokens);
}

async function stream(model) {
  const ask = { ...plain, model: model(MODEL), instructions: "Be brief.", prompt: "Count to five." };
  const whole = await generateText(ask);
  const streamed = streamText(ask);
  let text = "";
  for await (const piece of streamed.textStream) {
    text += piece;
  }
  assert.equal(text, whole.text);
  assert.equal((await streamed.usage).outputTokens, whole.usage.outputTokens);
  assert.equal(await streamed.finishReason, whole.finishReason);
}

async function tools(model) {
  const asked = [];
  const weather = tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.enum(["Paris", "Rome"]) }),
    execute: async (input) => {
      asked.push(input);
      return { degrees: 21, sky: "sunny" };
    },
  });
  const loop = {
    ...plain,
    model: model(MODEL),
    maxOutputTokens: 64,
    prompt: "What is the weather in Paris? Use the tool.",
    tools: { get_weather: weather },
    stopWhen: stepCountIs(2),
    // First it must call, then it answers.
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  };
  const whole = await generateText(loop);
  const streamed = streamText(loop);
  await streamed.consumeStream();
  for (const steps of [whole.steps, await streamed.steps]) {
    assert.equal(steps.length, 2);
    const [first, second] = steps;
    assert.equal(first.finishReason, "tool-calls");
    assert.ok(["Paris", "Rome"].includes(first.toolCalls[0].input.city));
    assert.deepEqual(first.toolResults[0].output, { degrees: 21, sky: "sunny" });
    assert.equal(second.toolCalls.length, 0);
    assert.ok(second.text.length > 0);
  }
  assert.equal(whole.text, await streamed.text);
  assert.ok(asked.length >= 2);
}

async function structured(model) {
  const schema = z.object({ name: z.string().max(20), age: z.number().int(), color: z.enum(["red", "blue"]) });
  const ask = {
    ...plain,
    model: model(MODEL),
    maxOutputTokens: 200,
    prompt: "Describe a person as JSON.",
    output: Output.object({ schema }),
  };
  const { output } = await generateText(ask);
  assert.deepEqual(schema.parse(output), output);
  const streamed = streamText(ask);
  await streamed.consumeStream();
  assert.deepEqual(await streamed.output, output);
}

async function errors(model, name) {
  const stranger = providers("wrong")[name];
  const refused = (options) => generateText({ ...plain, model: model(MODEL), prompt: "x", ...options });
  const status = (code) => (error) => APICallError.isInstance(error) && error.statusCode === code;
  await assert.rejects(refused({ model: stranger(MODEL) }), status(401));
  await assert.rejects(refused({ model: model("no-such-model") }), status(404));
  await assert.rejects(refused({ topP: 9 }), status(400));
  await assert.rejects(refused({ prompt: "word ".repeat(20000) }), status(400));
}

async function cancellation(model) {
  const controller = new AbortController();
  const streamed = streamText({
    ...plain,
    model: model(MODEL),
    temperature: 1,
    maxOutputTokens: 2000,
    prompt: "Count to a million.",
    abortSignal: controller.signal,
  });
  let aborted = false;
  for await (const part of streamed.fullStream) {
    if (part.type === "text-delta") {
      controller.abort();
    }
    aborted ||= part.type === "abort";
  }
  assert.ok(aborted);
}

async function embeddings(model) {
  const values = ["Hello, world!", "Goodbye!"];
  const many = await embedMany({ model, values, maxRetries: 0 });
  assert.deepEqual(many.embeddings.map((vector) => vector.length), [384, 384]);
  assert.equal(many.usage.tokens, 10);
  const one = await embed({ model, value: values[0], maxRetries: 0 });
  one.embedding.forEach((x, i) => assert.ok(Math.abs(x - many.embeddings[0][i]) < 1e-6));
}

for (const [name, model] of Object.entries(models)) {
  for (const part of [chat, stream, tools, structured, errors, cancellation]) {
    try {
      await part(model, name);
    } catch (error) {
      throw new Error(`${part.name} with ${name}`, { cause: error });
    }
  }
}
for (const model of embedders) {
  await embeddings(model);
}
