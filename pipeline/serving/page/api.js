// The server's HTTP interface. A missing key is asked for and a full queue is waited for here; whatever else goes
// wrong becomes one `Refusal` with a sentence for people.

import { session } from "./store.js";

const TRIES = 5;

/** `status` is HTTP's, or 0 where the server did not answer. */
export class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Integers beyond 2^53 stay exact where the browser tells how they were written. */
const exact = (key, value, context) =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
    ? BigInt(context.source)
    : value;

async function send(path, body, signal) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const key = session.get("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  try {
    const method = body ? "POST" : "GET";
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
    return [answer, await answer.text()];
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal("The server does not answer. Is loraql serve still running?");
  }
}

function read(text, status) {
  try {
    return JSON.parse(text, exact);
  } catch {
    throw new Refusal("The answer is not loraql's. Is something between this page and the server?", status);
  }
}

function refusal(answer, text) {
  let message = null;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // not the server's own words
  }
  const told = typeof message === "string" && message ? message : `The server answered with ${answer.status}.`;
  return new Refusal(told, answer.status);
}

/** The sleep before another try; Stop ends it. */
const pause = (ms, signal) =>
  new Promise((done, stopped) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), stopped(signal.reason)), { once: true });
  });

/**
 * One request; POST where there is a body. `askKey(refused)` gives a key or null, `waiting(seconds)` is called each
 * second of a wait for a full queue.
 */
export async function call(path, { body, signal, askKey, waiting } = {}) {
  for (let tries = 1; ; tries += 1) {
    const [answer, text] = await send(path, body, signal);
    if (answer.ok) return read(text, answer.status);
    if (answer.status === 401 && askKey) {
      const key = await askKey(session.get("key") !== null);
      if (key === null) throw new Refusal("The server wants an API key.", 401);
      session.set("key", key);
    } else if (answer.status === 429 && waiting && tries < TRIES) {
      const seconds = Number.parseInt(answer.headers.get("Retry-After") ?? "", 10);
      for (let left = seconds >= 0 ? Math.min(seconds, 300) : 2; left > 0; left -= 1) {
        waiting(left);
        await pause(1000, signal);
      }
      waiting(0);
    } else {
      throw refusal(answer, text);
    }
  }
}
