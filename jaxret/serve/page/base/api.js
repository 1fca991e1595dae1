// Talking to the server: JSON both ways, and errors as sentences.

/** What the server refused, in its words. */
export class Refusal extends Error {
  constructor(message, status, field) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

const of = (id) => encodeURIComponent(id);

async function answer(response) {
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Refusal(said.error ?? `The server answered ${response.status}.`, response.status, said.field);
}

async function send(method, path, body, signal) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const text = body === undefined ? undefined : JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, { method, headers, body: text, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer. Is jaxret serve still running?", 0);
  }
  return answer(response);
}

const json = async (...request) => (await send(...request)).json();

export const indexes = () => json("GET", "/api/indexes");
export const startSearch = (request, signal) => json("POST", "/api/searches", request, signal);
export const searchState = (id, offset = 0, limit = 0) =>
  json("GET", `/api/searches/${of(id)}?offset=${offset}&limit=${limit}`);
export const cancelSearch = (id) => send("DELETE", `/api/searches/${of(id)}`);
export const item = (index, id) => json("GET", `/api/items/${of(index)}/${of(id)}`);
export const upload = (id) => json("GET", `/api/uploads/${of(id)}`);
export const comparison = (request, signal) => json("POST", "/api/comparisons", request, signal);
export const folders = (path) => json("GET", `/api/folders?path=${of(path)}`);
export const startIndexing = (request) => json("POST", "/api/indexing", request);
export const job = (id) => json("GET", `/api/jobs/${of(id)}`);
export const cancelJob = (id) => send("DELETE", `/api/jobs/${of(id)}`);

export function items(index, { where, sort, offset, limit }, signal) {
  const wanted = new URLSearchParams({ index, offset, limit });
  if (where) wanted.set("where", where);
  if (sort) wanted.set("sort", sort);
  return json("GET", `/api/items?${wanted}`, undefined, signal);
}

/** Send a file, telling how much of it is there (0 to 1). */
export function sendFile(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, file.name);
    request.open("POST", "/api/uploads");
    request.responseType = "json";
    request.upload.addEventListener(
      "progress",
      (event) => event.lengthComputable && onProgress(event.loaded / event.total),
    );
    request.addEventListener("error", () =>
      reject(new Refusal("The file could not be sent: it is too large, or the server is busy or gone.", 0)),
    );
    request.addEventListener("load", () => {
      if (request.status < 400) resolve(request.response);
      else reject(new Refusal(request.response?.error ?? `The server answered ${request.status}.`, request.status));
    });
    request.send(form);
  });
}

/** A file that the server makes, under the name that it gives. */
export async function madeFile(path, request) {
  const response = await send("POST", path, request);
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const name = /filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1] ?? /filename="?([^";]+)"?/.exec(disposition)?.[1];
  return { blob: await response.blob(), name: name && decodeURIComponent(name) };
}

/**
 * Follow a search or a job until it ends, by server-sent events; `onState` gets every state. Where the stream breaks
 * off, the state is fetched once a second.
 *
 * @returns {function(): void} stops following.
 */
export function follow(path, onState) {
  let stopped = false;
  const source = new EventSource(`${path}/events`);
  const stop = () => {
    stopped = true;
    source.close();
  };
  const tell = (said) => {
    if (stopped) return;
    if (!["waiting", "running"].includes(said.state)) stop();
    onState(said);
  };
  const poll = async () => {
    while (!stopped) {
      try {
        tell(await json("GET", path));
      } catch (error) {
        tell({ state: "failed", error: error.message });
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  };
  source.addEventListener("state", (event) => tell(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    source.close();
    if (!stopped) poll();
  });
  return stop;
}

/** Offer a file to the browser's downloads. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
