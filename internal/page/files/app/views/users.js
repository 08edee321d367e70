// Users who are joined: of one tunnel, or of all.

import { query } from '../api.js';
import { addressOf } from '../acts.js';
import { attr, el, text } from '../dom.js';
import * as format from '../format.js';
import { bytesCell, cell, list, matcher, nameOf, searchBox, When } from '../parts.js';
import { Table } from '../table.js';

// most is how many users are asked for.
const most = 10_000;

export function usersPath(tunnel) {
  return query('users', tunnel ? { tunnel, limit: most } : { limit: most });
}

// UsersTable has the rates of users, too, of which the API has the sums.
export class UsersTable {
  constructor(page, ofAll) {
    this.page = page;
    this.before = new Map();
    this.names = new Map();
    const tunnel = { key: 'tunnel', title: 'Tunnel', class: 'c-tunnel mid', sort: (u) => this.nameOf(u), cell: cell((u) => this.nameOf(u)) };
    this.table = new Table({
      label: 'Users', key: (u) => u.id, sort: 'since', empty: 'Nobody is joined now.',
      columns: [
        { key: 'address', title: 'Address', class: 'c-address', sort: (u) => u.address, cell: (td) => this.address(td, ofAll) },
        ...(ofAll ? [tunnel] : []),
        { key: 'since', title: 'Joined', class: 'c-when num mid', sort: (u) => u.joined, descending: true, cell: (td) => {
          const when = new When();
          td.append(when.node);
          return (u) => when.update(u.since, page.now());
        } },
        { key: 'received', title: 'From user', class: 'c-bytes num mid', sort: (u) => u.received, descending: true, cell: bytesCell((u) => u.received) },
        { key: 'sent', title: 'To user', class: 'c-bytes num', sort: (u) => u.sent, descending: true, cell: bytesCell((u) => u.sent) },
        { key: 'rate', title: 'Rate', class: 'c-rate num wide', sort: (u) => u.rate, descending: true, cell: cell((u) => format.rate(u.rate)) },
        { key: 'acts', title: '', class: 'c-acts', cell: (td) => this.acts(td) },
      ],
    });
    this.node = this.table.node;
  }

  // address shows on a narrow screen what has columns of its own on others.
  address(td, ofAll) {
    const address = el('span');
    const more = el('div', { class: 'narrow' });
    td.append(address, more);
    return (u) => {
      text(address, u.address || 'not known');
      attr(td, 'title', u.address);
      text(more, [ofAll ? this.nameOf(u) : '', format.ago(new Date(u.joined), this.page.now())].filter(Boolean).join(' · '));
    };
  }

  nameOf(user) {
    return this.names.get(user.tunnel) ?? user.tunnel;
  }

  acts(td) {
    let user;
    const end = el('button', { type: 'button', class: 'small', on: { click: () => this.page.acts.endUser(user) } }, 'End');
    const ban = el('button', { type: 'button', class: 'small', on: { click: () => this.page.acts.ban(addressOf(user.address)) } }, 'Ban');
    td.append(end);
    if (!this.page.services()) td.append(ban);
    return (u) => {
      user = u;
      attr(end, 'aria-label', `End user ${u.address || u.id}`);
      attr(ban, 'aria-label', `Ban ${addressOf(u.address)}`);
    };
  }

  // update returns how many users are shown, and of how many.
  update(answer, tunnels, search = '') {
    if (answer === undefined) return [0, 0];
    this.names = new Map(tunnels.map((t) => [t.id, nameOf(t)]));
    const now = this.page.time;
    const users = list(answer);
    const before = this.before;
    this.before = new Map();
    for (const user of users) {
      const sum = user.received + user.sent;
      const old = before.get(user.id);
      user.rate = old && now > old.time ? Math.max(0, ((sum - old.sum) * 1000) / (now - old.time)) : 0;
      user.joined = Date.parse(user.since);
      this.before.set(user.id, { sum, time: now });
    }
    const matches = matcher(search);
    const rows = search ? users.filter((u) => matches(`${u.address} ${this.nameOf(u)}`.toLowerCase())) : users;
    this.table.setEmpty(search && users.length ? 'No user matches.' : 'Nobody is joined now.');
    this.table.set(rows);
    return [rows.length, users.length];
  }

  close() {
    this.table.close();
  }
}

export class UsersView {
  constructor(page) {
    this.page = page;
    this.search = '';
    this.table = new UsersTable(page, true);
    this.found = el('span', { class: 'found', role: 'status' });
    const input = searchBox('Search address or tunnel', (search) => {
      this.search = search;
      if (this.answers) this.update(this.answers);
    });
    this.input = input;
    this.node = el('section', null, el('div', { class: 'toolbar' }, el('h1', null, 'Users now'), this.found, input), this.table.node);
  }

  title() {
    return 'Users';
  }

  paths() {
    return { users: usersPath('') };
  }

  update(answers) {
    this.answers = answers;
    const [rows, users] = this.table.update(answers.users, answers.tunnels, this.search);
    const all = Math.max(users, answers.status.users);
    if (answers.users !== undefined) text(this.found, rows === all ? format.count(all) : `${format.count(rows)} of ${format.count(all)}`);
  }

  close() {
    this.table.close();
  }
}
