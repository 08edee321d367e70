// The words for what the API names by identifiers. An identifier that is not known here
// is shown as it is, with spaces.

const dot = 'M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1z';
const ring = 'M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1zm0 2a3 3 0 1 0 0 6 3 3 0 0 0 0-6z';
const warning = 'M6 .8l5.6 10.4H.4zM5.3 4.5v3h1.4v-3zm0 3.7v1.3h1.4V8.2z';
const cross = 'M2.5 1L6 4.5 9.5 1 11 2.5 7.5 6 11 9.5 9.5 11 6 7.5 2.5 11 1 9.5 4.5 6 1 2.5z';
const bars = 'M2 1h3v10H2zM7 1h3v10H7z';
const half = 'M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1zm0 2v6a3 3 0 0 0 0-6z';
const question = 'M3 4.2C3 2.3 4.3 1 6.1 1s3.1 1.2 3.1 2.9c0 1.3-.7 2-1.5 2.5-.7.5-.9.8-.9 1.4H5.1c0-1.4.6-2 1.4-2.6.6-.4.9-.7.9-1.2 0-.7-.5-1.2-1.3-1.2s-1.3.6-1.3 1.4zM5 9h2v2H5z';

// states have a word, a shape and a tone, so that none is told by its color alone. The
// worst has the lowest rank.
const states = {
  local_server_down: { word: 'Local server down', shape: warning, tone: 'bad', rank: 0,
    why: 'The relay client is there, and its local server accepts no connection.' },
  relay_client_unreachable: { word: 'Relay client unreachable', shape: cross, tone: 'bad', rank: 1,
    why: 'Nothing answers at the address of the relay client.' },
  relay_client_silent: { word: 'Relay client silent', shape: half, tone: 'bad', rank: 2,
    why: 'The machine of the relay client answers, and its process does not.' },
  away: { word: 'Away', shape: ring, tone: 'warn', rank: 3,
    why: 'The port is kept for its owner, and no relay client serves it.' },
  connecting: { word: 'Connecting', shape: half, tone: 'warn', rank: 4, why: 'The connection to the relay is being made.' },
  paused: { word: 'Paused', shape: bars, tone: 'warn', rank: 5, why: 'An operator has paused it: new users are reset.' },
  unknown: { word: 'Unknown', shape: question, tone: 'dim', rank: 6,
    why: 'A session exists. The relay client cannot answer probes, or has not yet.' },
  up: { word: 'Up', shape: dot, tone: 'good', rank: 7, why: 'The last probe has reached the local server.' },
};

export function state(name) {
  return states[name] ?? { word: plain(name), shape: question, tone: 'dim', rank: 6, why: '' };
}

export function plain(identifier) {
  const words = String(identifier).replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const parties = { user: 'user', server: 'local server', relay_client: 'relay client', relay: 'relay' };

const hows = {
  fin: (who) => `Closed by the ${who}`,
  reset: (who) => `Reset by the ${who}`,
  lost: (who) => `The ${who} was lost`,
  half_close_timeout: (who) => `Half-closed by the ${who}, then idle`,
  drain: (who) => `Drained by the ${who}`,
  panic: (who) => `Bug in the ${who}`,
  ended_by_operator: () => 'Ended by the operator',
  closed_by_operator: () => 'Tunnel closed by the operator',
  banned_by_operator: () => 'Banned by the operator',
};

// ending returns who ended a connection, and how.
export function ending(endedBy, how) {
  const who = parties[endedBy] ?? plain(endedBy).toLowerCase();
  return hows[how] ? hows[how](who) : `${plain(how || 'ended')} (${who})`;
}

const reasons = {
  limit: 'A limit was met',
  address_denied: 'Address denied by the policy',
  wait_timeout: 'Waited too long for the relay client',
  local_server_down: 'The local server was down',
  not_acknowledged: 'The relay client did not acknowledge',
  no_stream: 'No stream to the relay client',
  user_gone: 'The user had gone',
  dial_failed: 'The local server did not accept',
  header_failed: 'The PROXY header could not be sent',
  handshake_timeout: 'Sent no request in time',
  handshake_ended: 'Left before its request',
  not_a_request: 'Did not speak Relay',
  paused: 'Paused by the operator',
  banned_by_operator: 'Banned by the operator',
};

export function reason(identifier) {
  return reasons[identifier] ?? plain(identifier);
}
