// Requests to the API. Every failure is an `ApiError` that says what the API said.

class ApiError extends Error {
  constructor(status, body) {
    super(body.message);
    this.status = status;
    this.code = body.error;
    this.hint = body.hint;
  }
}

/** The JSON document of an answer, with its ETag; null if it is 304. */
export async function ask(method, path, { body, headers = {} } = {}) {
  const sent = body === undefined ? headers : { ...headers, "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new ApiError(0, { error: "offline", message: "The server does not answer", hint: "Is callsheet serve still running?" });
  }
  if (answer.status === 304) return null;
  const document = await answer.json().catch(() => null);
  if (!answer.ok || document === null) {
    const told = document?.error ? document : { error: "http", message: `The server answered ${answer.status}`, hint: "" };
    throw new ApiError(answer.status, told);
  }
  return { document, etag: answer.headers.get("ETag") };
}

export const get = async (path) => (await ask("GET", path)).document;

export const patch = async (path, body) => (await ask("PATCH", path, { body })).document;

/** Makes a job. A request that is sent twice makes one. */
export async function postJob(body) {
  const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
  return (await ask("POST", "/api/jobs", { body, headers: { "Idempotency-Key": key } })).document;
}

export const cancelJob = (id) => ask("DELETE", `/api/jobs/${encodeURIComponent(id)}`);

export const actorPath = (name) => `/api/actors/${encodeURIComponent(name)}/training-data`;

export const imagePath = (actor, filename) => `${actorPath(actor)}/${encodeURIComponent(filename)}`;
