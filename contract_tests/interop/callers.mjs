// Others' npm clients, each making the same requests: as callers.py, which says what goes in and comes out.

const MODEL = "rerank-any";
const TIMEOUT = 20; // seconds, for one request

const CALLERS = {
  // The vendor's SDK.
  async openrouter(root, { key, query, documents, top_n }) {
    const { OpenRouter } = await import("@openrouter/sdk");
    const client = new OpenRouter({ apiKey: key, serverURL: `${root}/api/v1`, retryConfig: { strategy: "none" } });
    const requestBody = { model: MODEL, query, documents, ...best(top_n) };
    const answer = await client.rerank.rerank({ requestBody }, { timeoutMs: TIMEOUT * 1000 });
    return outcome(answer.results, answer.usage);
  },

  // Cohere's SDK by its newer client, which appends /v2/rerank.
  async cohere(root, { key, query, documents, top_n }) {
    const { CohereClientV2 } = await import("cohere-ai");
    const client = new CohereClientV2({ token: key, baseUrl: root });
    const options = { maxRetries: 0, timeoutInSeconds: TIMEOUT };
    const answer = await client.rerank({ model: MODEL, query, documents, ...best(top_n) }, options);
    return outcome(answer.results, answer.meta?.billedUnits);
  },

  // The AI SDK with its provider for Cohere, which appends /rerank. It gives no usage.
  async ai(root, { key, query, documents, top_n }) {
    const { rerank } = await import("ai");
    const { createCohere } = await import("@ai-sdk/cohere");
    const model = createCohere({ apiKey: key, baseURL: `${root}/api/v1` }).reranking(MODEL);
    const abortSignal = AbortSignal.timeout(TIMEOUT * 1000);
    const answer = await rerank({ model, query, documents, ...best(top_n), maxRetries: 0, abortSignal });
    return { ranking: answer.ranking.map(({ originalIndex, score }) => [originalIndex, score]), usage: {} };
  },
};

// As given; left out where it is none, as an undefined is sent as null by one of them.
function best(top_n) {
  return top_n === null ? {} : { topN: top_n };
}

function outcome(results, usage) {
  const figures = Object.entries(usage ?? {}).filter(([, value]) => typeof value === "number");
  return {
    ranking: results.map(({ index, relevanceScore }) => [index, relevanceScore]),
    usage: Object.fromEntries(figures),
  };
}

const [name, root, requests] = process.argv.slice(2);
const outcomes = [];
for (const request of JSON.parse(requests)) {
  try {
    outcomes.push(await CALLERS[name](root, request));
  } catch (error) {
    const message = String(error.message).split(/\s+/).join(" ").slice(0, 300);
    outcomes.push({ error: error.constructor.name, status: error.statusCode ?? null, message });
  }
}
console.log(JSON.stringify(outcomes));
