// All tunnels, and how the relay does.

import { attr, el, keep, show, text } from '../dom.js';
import * as format from '../format.js';
import { Badge, matcher, nameOf, roundTrip, searchBox } from '../parts.js';
import { Spark } from '../spark.js';
import { Table } from '../table.js';
import * as words from '../words.js';
import { id } from '../api.js';
import { Tiles } from './tiles.js';
import { commands } from './connect.js';

export class TunnelsView {
  constructor(page) {
    this.page = page;
    this.search = '';
    this.only = '';
    this.tiles = new Tiles();
    this.problems = el('ul', { class: 'problems', 'aria-label': 'Problems' });
    this.heading = el('h1');
    this.found = el('span', { class: 'found', role: 'status' });
    this.filters = el('div', { class: 'filters', role: 'group', 'aria-label': 'Only tunnels of a state' });
    this.input = searchBox('Search name, port, address, state', (search) => {
      this.search = search;
      this.fill();
    });
    this.table = new Table({
      label: 'Tunnels', key: (t) => t.id, sort: 'port', columns: this.columns(), empty: 'No tunnel matches.',
    });
    this.first = el('div', { class: 'card first', hidden: true });
    this.list = el('section', null,
      el('div', { class: 'toolbar' }, this.heading, this.found, this.filters, this.input), this.table.node);
    this.node = el('div', null, this.problems, this.tiles.node, this.first, this.list);
  }

  title() {
    return this.page.services() ? 'Services' : 'Tunnels';
  }

  paths() {
    return {};
  }

  columns() {
    const rate = (t) => this.page.history.rate(t.id);
    return [
      { key: 'port', title: 'Port and name', class: 'c-name', sort: (t) => t.port || nameOf(t), cell: (td) => this.nameCell(td) },
      { key: 'state', title: 'State', class: 'c-state', sort: (t) => words.state(t.state).rank, cell: (td) => {
        const badge = new Badge();
        td.append(badge.node);
        return (t) => badge.update(t, this.page.now());
      } },
      { key: 'users', title: 'Users', class: 'c-users num', sort: (t) => t.users, descending: true, cell: (td) => (t) => {
        text(td, format.count(t.users));
        attr(td, 'title', t.waiting ? `${format.plural(t.waiting, 'more user')} not joined yet` : null);
      } },
      { key: 'usersspark', title: 'Over time', class: 'c-spark wide', cell: (td) => this.sparkCell(td, 'users', (s, slot) => s.users[slot]) },
      { key: 'received', title: 'From users', class: 'c-rate num mid', sort: (t) => rate(t).received, descending: true,
        cell: (td) => (t) => text(td, format.rate(rate(t).received)) },
      { key: 'sent', title: 'To users', class: 'c-rate num', sort: (t) => rate(t).sent, descending: true,
        cell: (td) => (t) => text(td, format.rate(rate(t).sent)) },
      { key: 'spark', title: 'Over time', class: 'c-spark', cell: (td) => this.sparkCell(td, 'bytes', (s, slot) => s.received[slot] + s.sent[slot]) },
      { key: 'total', title: 'Total', class: 'c-total num wider', sort: (t) => t.received + t.sent, descending: true, cell: (td) => (t) => {
        text(td, format.bytes(t.received + t.sent));
        attr(td, 'title', `${format.count(t.received)} bytes from users, ${format.count(t.sent)} bytes to users`);
      } },
      { key: 'protocol', title: 'Protocol', class: 'c-protocol wide', sort: (t) => t.protocol ?? '', cell: (td) => (t) => text(td, t.protocol || '–') },
      { key: 'trip', title: 'Round trip', class: 'c-trip num wide', sort: roundTrip, descending: true,
        cell: (td) => (t) => text(td, roundTrip(t) ? format.span(roundTrip(t)) : '–') },
    ];
  }

  nameCell(td) {
    const port = el('b', { class: 'port' });
    const name = el('span');
    const link = el('a', { class: 'rowlink' }, port, ' ', name);
    const owner = el('span', { class: 'owner' });
    const badge = new Badge();
    td.append(link, owner, el('div', { class: 'narrow' }, badge.node));
    return (t) => {
      attr(link, 'href', `#/tunnel/${id(t.id)}`);
      text(port, t.port ? String(t.port) : t.public || '–');
      text(name, t.service || t.name || '');
      text(owner, [t.identity && t.identity !== t.name ? t.identity : '', t.local].filter(Boolean).join(' → '));
      attr(td, 'title', [t.public, t.service, t.name, t.identity, t.relayClient, t.local, ...(t.members ?? []).map((m) => m.relayClient)].filter(Boolean).join('\n'));
      badge.update(t, this.page.now());
    };
  }

  sparkCell(td, kind, value) {
    const spark = new Spark(kind);
    td.append(spark.node);
    return (t) => {
      const series = this.page.history.tunnels.get(t.id);
      if (series) spark.draw(this.page.history, this.page.time, (slot) => value(series, slot));
    };
  }

  update(answers) {
    this.tunnels = answers.tunnels;
    this.tiles.update(answers, this.page);
    this.updateProblems(answers.status.problems ?? [], answers.tunnels);
    text(this.heading, this.title());
    const nothing = this.tunnels.length === 0;
    show(this.first, nothing);
    show(this.list, !nothing);
    if (nothing) this.welcome(answers.status);
    else this.fill();
  }

  welcome(status) {
    const lines = JSON.stringify([status.kind, status.connect]);
    if (this.lines === lines) return;
    this.lines = lines;
    if (this.page.services()) {
      this.first.replaceChildren(el('h1', null, 'No service yet'), el('p', null, 'The forwarder has not begun to serve.'));
      return;
    }
    this.first.replaceChildren(
      el('h1', null, 'Nothing is online yet'),
      el('p', null, 'Run this beside a server, on any machine that can connect to this relay. The tunnel appears here by itself.'),
      commands(status.connect ?? []));
  }

  updateProblems(problems, tunnels) {
    const byID = new Map(tunnels.map((t) => [t.id, t]));
    show(this.problems, problems.length > 0);
    keep(this.problems, problems.slice(0, 20), (p) => `${p.code} ${p.tunnel ?? ''}`, (p) => {
      const item = el('li', null, el('b'), ' ', el('span'), ' ', p.tunnel ? el('a', { href: `#/tunnel/${id(p.tunnel)}` }) : '');
      return item;
    }, (item, p) => {
      const [head, words_, link] = item.children;
      text(head, `${words.plain(p.code)}:`);
      text(words_, p.text + (p.since ? ` (since ${format.clock(new Date(p.since), this.page.now())})` : ''));
      if (link) text(link, byID.has(p.tunnel) ? nameOf(byID.get(p.tunnel)) : 'Its tunnel');
    });
  }

  fill() {
    if (!this.tunnels) return;
    const counts = new Map();
    for (const t of this.tunnels) counts.set(t.state, (counts.get(t.state) ?? 0) + 1);
    this.fillFilters(counts);
    const matches = matcher(this.search);
    const rows = this.tunnels.filter((t) => (!this.only || t.state === this.only) && matches(haystack(t)));
    text(this.found, rows.length === this.tunnels.length ? format.count(rows.length)
      : `${format.count(rows.length)} of ${format.count(this.tunnels.length)}`);
    this.table.set(rows);
  }

  fillFilters(counts) {
    if (this.only && !counts.has(this.only)) this.only = '';
    const present = [...counts.keys()].sort((a, b) => words.state(a).rank - words.state(b).rank);
    keep(this.filters, present.length > 1 ? present : [], (name) => name, (name) => el('button', {
      type: 'button', class: 'filter', on: { click: () => {
        this.only = this.only === name ? '' : name;
        this.fill();
      } },
    }), (button, name) => {
      text(button, `${words.state(name).word} ${format.count(counts.get(name))}`);
      attr(button, 'aria-pressed', String(this.only === name));
    });
  }
}

function haystack(t) {
  return [t.port, t.service, t.name, t.identity, t.public, t.relayClient, t.local, t.protocol, words.state(t.state).word, t.error, ...(t.members ?? []).flatMap((m) => [m.name, m.relayClient])]
    .filter(Boolean).join(' ').toLowerCase();
}
