// The admin API, at api/v1/ beside the page.

const base = new URL('api/v1/', document.baseURI);

// longest is how many milliseconds an answer may take. A relay that is frozen takes
// connections and does not answer.
const longest = 8000;

// Refused is an answer that is not a success.
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get login() {
    return this.status === 401;
  }
}

async function ask(method, path, body) {
  const request = { method, cache: 'no-store', credentials: 'same-origin', signal: AbortSignal.timeout(longest) };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { 'Content-Type': 'application/json' };
  }
  const response = await fetch(new URL(path, base), request);
  const content = await response.text();
  let answer = null;
  try {
    answer = content ? JSON.parse(content) : null;
  } catch {
    // A proxy in between answers with a page of its own.
  }
  if (!response.ok) {
    throw new Refused(response.status, answer?.code ?? '', answer?.message ?? `The relay answered with status ${response.status}.`);
  }
  return answer;
}

export const get = (path) => ask('GET', path);
export const post = (path, body) => ask('POST', path, body);
export const del = (path) => ask('DELETE', path);

// logIn begins a session with a token, and logOut ends it. The browser has a cookie
// meanwhile, which the page does not see.
export const logIn = (token) => post('session', { token });
export const logOut = () => del('session');

// query returns a path with its parameters escaped.
export function query(path, parameters) {
  return `${path}?${new URLSearchParams(parameters)}`;
}

export const id = encodeURIComponent;
