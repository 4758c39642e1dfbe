// The official JavaScript SDKs, unchanged but for base URL and key.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from '@aws-sdk/client-bedrock-runtime'
import { GoogleGenAI } from '@google/genai'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, streamText, tool } from 'ai'
import OpenAI from 'openai'

const url = process.env.WEIR_URL
const key = process.env.WEIR_KEY
const models = ['demo', 'm-openai', 'm-responses', 'm-anthropic', 'm-converse', 'm-gemini']
const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
}
const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const question = 'what is the weather in Oslo?'

const openai = new OpenAI({ baseURL: url + '/v1', apiKey: key, maxRetries: 0 })
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 })
// Plain http:// with the default handler: the SDK speaks HTTP/2 with prior knowledge to a streaming operation.
const bedrock = new BedrockRuntimeClient({
  region: 'us-east-1', endpoint: url + '/bedrock', token: { token: key }, authSchemePreference: ['httpBearerAuth'], maxAttempts: 1,
})
const genai = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } })

for (const model of models) {
  test(`openai chat ${model}`, async () => {
    const r = await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'hello there' }] })
    assert.match(r.choices[0].message.content, /hello there/)
    assert.ok(r.usage.total_tokens > 0)
    let text = ''
    for await (const c of await openai.chat.completions.create({ model, stream: true, messages: [{ role: 'user', content: 'hello there' }] })) {
      text += c.choices[0]?.delta?.content ?? ''
    }
    assert.match(text, /hello there/)
  })

  test(`openai chat tools ${model}`, async () => {
    const tools = [{ type: 'function', function: { name: 'get_weather', parameters: schema } }]
    const s = openai.chat.completions.stream({ model, tools, messages: [{ role: 'user', content: question }] })
    const call = (await s.finalChatCompletion()).choices[0].message.tool_calls[0]
    assert.equal(call.function.name, 'get_weather')
    assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)).sort(), ['city', 'days'])
  })

  test(`openai responses ${model}`, async () => {
    const r = await openai.responses.create({ model, input: 'hello there' })
    assert.match(r.output_text, /hello there/)
    const s = openai.responses.stream({ model, input: 'hello there' })
    const final = await s.finalResponse()
    assert.match(final.output_text, /hello there/)
    assert.equal(final.status, 'completed')
  })

  test(`anthropic messages ${model}`, async () => {
    const messages = [{ role: 'user', content: [
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } }, { type: 'text', text: 'hello there' }] }]
    const r = await anthropic.messages.create({ model, max_tokens: 100, messages })
    assert.match(r.content[0].text, /hello there/)
    const final = await anthropic.messages.stream({ model, max_tokens: 100, messages }).finalMessage()
    assert.match(final.content[0].text, /hello there/)
    assert.ok(final.usage.output_tokens > 0)
  })

  test(`anthropic tools ${model}`, async () => {
    const tools = [{ name: 'get_weather', input_schema: schema }]
    const final = await anthropic.messages.stream({ model, max_tokens: 100, tools, messages: [{ role: 'user', content: question }] }).finalMessage()
    assert.equal(final.stop_reason, 'tool_use')
    assert.deepEqual(Object.keys(final.content.find((b) => b.type === 'tool_use').input).sort(), ['city', 'days'])
  })

  test(`aws converse ${model}`, async () => {
    const messages = [{ role: 'user', content: [{ text: 'hello there' }] }]
    const r = await bedrock.send(new ConverseCommand({ modelId: model, messages }))
    assert.match(r.output.message.content[0].text, /hello there/)
    const s = await bedrock.send(new ConverseStreamCommand({ modelId: model, messages }))
    let text = '', stop, usage
    for await (const e of s.stream) {
      text += e.contentBlockDelta?.delta?.text ?? ''
      stop ??= e.messageStop?.stopReason
      usage ??= e.metadata?.usage
    }
    assert.match(text, /hello there/)
    assert.equal(stop, 'end_turn')
    assert.ok(usage.totalTokens > 0)
  })

  test(`google genai ${model}`, async () => {
    const r = await genai.models.generateContent({ model, contents: 'hello there' })
    assert.match(r.text, /hello there/)
    let text = ''
    for await (const c of await genai.models.generateContentStream({ model, contents: 'hello there' })) text += c.text ?? ''
    assert.match(text, /hello there/)
  })

  for (const [name, provider] of [
    ['openai responses', createOpenAI({ baseURL: url + '/v1', apiKey: key })],
    ['openai chat', { languageModel: createOpenAI({ baseURL: url + '/v1', apiKey: key }).chat }],
    ['openai-compatible', createOpenAICompatible({ name: 'weir', baseURL: url + '/v1', apiKey: key })],
    ['anthropic', createAnthropic({ baseURL: url + '/v1', apiKey: key })],
  ]) {
    test(`vercel ai sdk, ${name}, ${model}`, async () => {
      const lm = provider.languageModel(model)
      const r = await generateText({ model: lm, prompt: 'hello there', maxRetries: 0 })
      assert.match(r.text, /hello there/)
      const s = streamText({ model: lm, prompt: 'hello there', maxRetries: 0 })
      let text = ''
      for await (const d of s.textStream) text += d
      assert.match(text, /hello there/)
      const t = await generateText({ model: lm, prompt: question, maxRetries: 0, tools: { get_weather: tool({ inputSchema: jsonSchema(schema) }) } })
      assert.equal(t.toolCalls[0].toolName, 'get_weather')
      assert.deepEqual(Object.keys(t.toolCalls[0].input).sort(), ['city', 'days'])
    })
  }
}

test('errors are the SDKs own', async () => {
  const messages = [{ role: 'user', content: 'hi' }]
  await assert.rejects(openai.chat.completions.create({ model: 'nope', messages }), OpenAI.BadRequestError)
  await assert.rejects(openai.chat.completions.create({ model: 'f-openai?fault=429', messages }), OpenAI.RateLimitError)
  await assert.rejects(anthropic.messages.create({ model: 'nope', max_tokens: 1, messages }), Anthropic.BadRequestError)
  await assert.rejects(anthropic.messages.create({ model: 'f-openai?fault=429', max_tokens: 1, messages }), Anthropic.RateLimitError)
  await assert.rejects(bedrock.send(new ConverseCommand({ modelId: 'nope', messages: [{ role: 'user', content: [{ text: 'hi' }] }] })),
    (e) => e.name === 'ValidationException')
  for (const fault of ['cut', 'unterminated', 'error']) {
    await assert.rejects(async () => {
      for await (const _ of await openai.chat.completions.create({ model: `f-anthropic?fault=${fault}`, messages, stream: true }));
    })
  }
})

// With credentials that the gateway issued, and nothing else: signed, over HTTP/1.1 and, for streams, HTTP/2 with prior knowledge.
const issued = { accessKeyId: process.env.WEIR_AWS_ACCESS_KEY_ID, secretAccessKey: process.env.WEIR_AWS_SECRET_ACCESS_KEY }
const aws = (endpoint, credentials) => new BedrockRuntimeClient({ region: 'us-west-2', endpoint, credentials, maxAttempts: 1 })

for (const endpoint of [url, url + '/bedrock']) {
  for (const model of [...models, 'f-openai:0', 'f-openai/a b', "f-openai(x)!*'~", 'f-openai模型']) {
    test(`aws signed ${endpoint.slice(url.length)} ${model}`, async () => {
      const messages = [{ role: 'user', content: [{ text: 'hello there' }] }]
      const client = aws(endpoint, issued)
      const r = await client.send(new ConverseCommand({ modelId: model, messages }))
      assert.match(r.output.message.content[0].text, /hello there/)
      let text = ''
      for await (const e of (await client.send(new ConverseStreamCommand({ modelId: model, messages }))).stream) {
        text += e.contentBlockDelta?.delta?.text ?? ''
      }
      assert.match(text, /hello there/)
    })
  }
}

test('aws signed: errors are AWS\'s own', async () => {
  const messages = [{ role: 'user', content: [{ text: 'hi' }] }]
  const fails = (credentials, modelId, name, status) => assert.rejects(
    aws(url + '/bedrock', credentials).send(new ConverseCommand({ modelId, messages })),
    (e) => e.name === name && e.$metadata.httpStatusCode === status)
  await fails({ ...issued, secretAccessKey: 'x'.repeat(40) }, 'demo', 'InvalidSignatureException', 403)
  await fails({ ...issued, accessKeyId: 'AKIAWEIRAAAAAAAAAAAA' }, 'demo', 'UnrecognizedClientException', 403)
  await fails(issued, 'nope', 'ValidationException', 400)
  const late = aws(url + '/bedrock', issued)
  late.config.systemClockOffset = -6 * 60 * 1000
  await assert.rejects(late.send(new ConverseCommand({ modelId: 'demo', messages })), (e) => e.name === 'InvalidSignatureException' && /Signature expired/.test(e.message))
})
