// Why connections ended and requests were refused, over the last hour; the last of both;
// and who is shut out.

import { query } from '../api.js';
import { attr, el, keep, show, svg, text } from '../dom.js';
import * as format from '../format.js';
import { list, When } from '../parts.js';
import * as words from '../words.js';
import { EndedTable } from './ended.js';

// Causes is a list of causes, the most frequent first, with what each minute had of them.
class Causes {
  constructor(title, empty, name) {
    this.name = name;
    this.total = el('span', { class: 'found' });
    this.rows = el('tbody');
    this.table = el('table', { class: 'causes' },
      el('caption', { class: 'unseen' }, title),
      el('thead', { class: 'unseen' }, el('tr', null, ...['Cause', 'Last hour', 'Each minute'].map((c) => el('th', { scope: 'col' }, c)))),
      this.rows);
    this.empty = el('p', { class: 'empty' }, empty);
    this.node = el('section', { class: 'card' }, el('h2', null, title, ' ', this.total), this.table, this.empty);
  }

  update(minutes) {
    const causes = new Map();
    minutes.forEach((minute, i) => {
      for (const [cause, n] of Object.entries(minute ?? {})) {
        if (!causes.has(cause)) causes.set(cause, { cause, n: 0, minutes: new Array(minutes.length).fill(0) });
        const c = causes.get(cause);
        c.n += n;
        c.minutes[i] += n;
      }
    });
    const rows = [...causes.values()].sort((a, b) => b.n - a.n || (a.cause < b.cause ? -1 : 1));
    show(this.empty, rows.length === 0);
    show(this.table, rows.length > 0);
    text(this.total, format.count(rows.reduce((sum, c) => sum + c.n, 0)));
    keep(this.rows, rows, (c) => c.cause, () => {
      const path = svg('path');
      return el('tr', null, el('th', { scope: 'row' }), el('td', { class: 'num' }),
        el('td', null, svg('svg', { class: 'minutes', viewBox: '0 0 60 20', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, path)));
    }, (row, c) => {
      const [cause, n, curve] = row.children;
      text(cause, this.name(c.cause));
      attr(cause, 'title', c.cause);
      text(n, format.count(c.n));
      const most = Math.max(...c.minutes);
      attr(curve.querySelector('path'), 'd', c.minutes.map((v, i) => (v ? `M${i + 60 - c.minutes.length} 20h.8v-${Math.max(1.5, (v / most) * 19).toFixed(1)}h-.8z` : '')).join(''));
    });
  }
}

export class CausesView {
  constructor(page) {
    this.page = page;
    this.ends = new Causes('Ends', 'No connection has ended in the last hour.', (cause) => {
      const [endedBy, how] = cause.split('/');
      return words.ending(endedBy, how);
    });
    this.resets = new Causes('Users who were not joined', 'Every user was joined.', words.reason);
    this.refused = new Causes('Refused requests', 'No relay client was refused.', words.reason);
    this.bans = el('ul', { class: 'bans' });
    this.nobody = el('p', { class: 'empty' }, 'Nobody is shut out.');
    this.shutOut = el('section', { class: 'card' }, el('div', { class: 'toolbar' }, el('h2', null, 'Banned'),
      el('button', { type: 'button', on: { click: () => page.acts.ban() } }, 'Ban a source')), this.bans, this.nobody);
    this.refusals = el('ol', { class: 'refusals' });
    this.none = el('p', { class: 'empty' }, 'None yet.');
    this.ended = new EndedTable(page, true);
    this.node = el('div', null,
      el('div', { class: 'toolbar' }, el('h1', null, 'Ends and refusals'), el('span', { class: 'found' }, 'over the last hour')),
      el('div', { class: 'grid' }, this.ends.node, this.resets.node, this.refused.node, this.shutOut,
        el('section', { class: 'card full' }, el('h2', null, 'Last refusals'), this.refusals, this.none)),
      el('h2', { class: 'apart' }, 'Last ends'), this.ended.node);
  }

  title() {
    return 'Ends';
  }

  paths() {
    return {
      causes: 'causes',
      refusals: query('refusals', { limit: 20 }),
      ended: query('ended', { limit: 1000 }),
      ...(this.page.services() ? {} : { bans: 'bans' }),
    };
  }

  update(answers) {
    if (answers.causes === undefined) return;
    const minutes = answers.causes?.minutes ?? [];
    this.ends.update(minutes.map((m) => m.ends));
    this.resets.update(minutes.map((m) => m.resets));
    this.refused.update(minutes.map((m) => m.refused));
    this.updateBans(list(answers.bans));
    this.updateRefusals(list(answers.refusals));
    this.ended.update(answers.ended, answers.tunnels);
  }

  updateBans(bans) {
    show(this.shutOut, !this.page.services());
    show(this.nobody, bans.length === 0);
    keep(this.bans, bans, (b) => b.source, (b) => el('li', null, el('code', null, b.source), el('span'),
      el('button', { type: 'button', class: 'small', 'aria-label': `Lift the ban of ${b.source}`, on: { click: () => this.page.acts.unban(b.source) } }, 'Lift')),
    (item, b) => {
      const until = new Date(b.until);
      text(item.children[1], `for ${format.span((until - this.page.now()) / 1000)} more`);
      attr(item.children[1], 'title', format.exact(until));
    });
  }

  updateRefusals(refusals) {
    show(this.none, refusals.length === 0);
    const seen = new Map();
    const key = (r) => {
      const same = `${r.at} ${r.source} ${r.event}`;
      seen.set(same, (seen.get(same) ?? 0) + 1);
      return `${same} ${seen.get(same)}`;
    };
    keep(this.refusals, refusals, key, (r) => {
      const when = new When();
      const item = el('li', null, when.node, el('code', null, r.source), el('span', { title: r.error }, refusalWords(r)));
      item.when = when;
      return item;
    }, (item, r) => item.when.update(r.at, this.page.now()));
  }

  close() {
    this.ended.close();
  }
}

function refusalWords(r) {
  const why = r.reason || r.code;
  return [words.plain(r.event), why && why !== r.event ? words.reason(why).toLowerCase() : '', r.identity ? `(${r.identity})` : '', r.error]
    .filter(Boolean).join(': ').replace(': (', ' (');
}
