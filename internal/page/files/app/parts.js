// Small things that several views show.

import { attr, el, svg, text } from './dom.js';
import * as format from './format.js';
import * as words from './words.js';

// nameOf returns what people call a tunnel.
export function nameOf(tunnel) {
  const place = tunnel.port ? String(tunnel.port) : tunnel.public || tunnel.local || tunnel.id;
  const name = tunnel.service || tunnel.name;
  return name ? `${place} ${name}` : place;
}

// roundTrip returns the round trip to a relay client in seconds: as the kernel has measured
// it, or that of the last probe. It is 0 if neither is known.
export function roundTrip(tunnel) {
  const { probe } = tunnel;
  return tunnel.roundTripSeconds || (probe?.ok ? Math.max(0, probe.tookSeconds - (probe.dialSeconds ?? 0)) : 0);
}

// detail returns what goes with a state: since when, and why.
export function detail(tunnel, now) {
  const parts = [];
  if (tunnel.state !== 'up' && tunnel.since) parts.push(`since ${format.minute(new Date(tunnel.since), now)}`);
  const why = tunnel.error || (tunnel.state === 'local_server_down' ? tunnel.probe?.error : '');
  if (why) parts.push(`(${why})`);
  if (tunnel.state === 'away' && tunnel.until) parts.push(`kept until ${format.minute(new Date(tunnel.until), now)}`);
  return parts.join(' ');
}

// Badge shows the state of a tunnel: by shape, word and color.
export class Badge {
  constructor() {
    this.path = svg('path');
    this.word = el('b');
    this.detail = el('span', { class: 'detail' });
    this.node = el('span', { class: 'badge' },
      svg('svg', { viewBox: '0 0 12 12', width: '12', height: '12', 'aria-hidden': 'true' }, this.path),
      this.word, ' ', this.detail);
  }

  update(tunnel, now) {
    const state = words.state(tunnel.state);
    attr(this.path, 'd', state.shape);
    attr(this.node, 'data-tone', state.tone);
    text(this.word, state.word);
    const more = detail(tunnel, now);
    text(this.detail, more);
    attr(this.node, 'title', [`${state.word} ${more}`.trim(), tunnel.since && `Since ${format.exact(new Date(tunnel.since))}`, state.why].filter(Boolean).join('\n'));
  }
}

// When shows a time: how long ago, or at what time of day, and exactly in its title.
export class When {
  constructor(show = format.ago) {
    this.show = show;
    this.node = el('time');
  }

  update(iso, now) {
    if (!iso) {
      text(this.node, '–');
      return;
    }
    if (this.iso !== iso) {
      this.iso = iso;
      this.date = new Date(iso);
      attr(this.node, 'datetime', iso);
      attr(this.node, 'title', format.exact(this.date));
    }
    text(this.node, this.show(this.date, now));
  }
}

// cell returns the maker of a table's cell that shows a text, and all of it in the title.
export function cell(value, title) {
  return (td) => (row) => {
    text(td, value(row));
    if (title) attr(td, 'title', title(row));
  };
}

// bytesCell shows a number of bytes, with the exact number in the title.
export function bytesCell(value) {
  return cell((row) => format.bytes(value(row)), (row) => `${format.count(value(row))} bytes`);
}

// list returns the array of an answer, which is empty where the API has nothing.
export function list(answer) {
  return Array.isArray(answer) ? answer : [];
}

// searchBox returns a labelled search field, and calls changed with what is typed.
export function searchBox(label, changed) {
  const input = el('input', { type: 'search', class: 'search', placeholder: label, 'aria-label': label, autocomplete: 'off', spellcheck: 'false' });
  input.addEventListener('input', () => changed(input.value.trim().toLowerCase()));
  return input;
}

// matcher returns a function that reports whether all words of a search are in a text.
export function matcher(search) {
  const wanted = search.split(/\s+/).filter(Boolean);
  return (haystack) => wanted.every((word) => haystack.includes(word));
}
