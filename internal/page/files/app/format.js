// Numbers, times and sizes for people. What is exact is in the title.

const whole = new Intl.NumberFormat('en-US');
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const dayAndTime = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

export function count(n) {
  return whole.format(n);
}

// plural returns the count with its noun.
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

function digits(n) {
  return n >= 99.95 ? n.toFixed(0) : n >= 9.995 ? n.toFixed(1) : n.toFixed(2);
}

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

export function bytes(n) {
  if (n < 999.5) return `${Math.round(n)} B`;
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${digits(n)} ${units[unit]}`;
}

export function rate(n) {
  return `${bytes(n)}/s`;
}

// span returns how long something takes or took, in at most two units.
export function span(seconds) {
  if (!(seconds > 0)) return '0 s';
  if (seconds < 0.001) return `${Math.max(1, Math.round(seconds * 1e6))} µs`;
  if (seconds < 1) return `${digits(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

// ago returns how long it is since date, in whole seconds at least.
export function ago(date, now) {
  const seconds = Math.floor((now - date) / 1000);
  return seconds < 1 ? 'now' : `${span(seconds).replace('.0 s', ' s')} ago`;
}

export function age(date, now) {
  return span(Math.max(1, Math.floor((now - date) / 1000))).replace('.0 s', ' s');
}

// clock returns the time of day, and the day too unless that is today.
export function clock(date, now = new Date()) {
  return date.toDateString() === now.toDateString() ? time.format(date) : dayAndTime.format(date);
}

// minute returns the same without seconds, where there is little room.
export function minute(date, now) {
  return clock(date, now).replace(/:\d\d$/, (seconds) => (date.toDateString() === now.toDateString() ? '' : seconds));
}

export function exact(date) {
  return `${dateAndTime.format(date)} (${date.toISOString()})`;
}
