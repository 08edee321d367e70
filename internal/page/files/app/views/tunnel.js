// One tunnel: how it does, its users now, and its last ends.

import { id, query } from '../api.js';
import { attr, el, keep, show, text } from '../dom.js';
import * as format from '../format.js';
import { copyButton } from '../dialog.js';
import { Badge, nameOf, roundTrip } from '../parts.js';
import { Curve } from '../curve.js';
import { EndedTable } from './ended.js';
import { UsersTable, usersPath } from './users.js';
import * as words from '../words.js';

export class TunnelView {
  // part is 'users' or 'ends'.
  constructor(page, tunnelID, part) {
    Object.assign(this, { page, id: tunnelID, part });
    this.name = el('h1');
    this.badge = new Badge();
    this.gone = el('p', { class: 'card', hidden: true }, 'There is no tunnel of this id any more. ', el('a', { href: '#/' }, 'All tunnels'));
    this.pause = this.button('Pause', () => page.acts.pause(this.tunnel, nameOf(this.tunnel)));
    this.resume = this.button('Resume', () => page.acts.resume(this.tunnel, nameOf(this.tunnel)));
    this.close_ = this.button('Close', () => page.acts.closeTunnel(this.tunnel, nameOf(this.tunnel)), 'danger');
    this.copy = copyButton(() => this.tunnel?.public ?? '', 'Copy address');
    this.facts = el('dl', { class: 'facts' });
    this.bytes = new Curve('bytes');
    this.users = new Curve('users');
    const way = `#/tunnel/${id(tunnelID)}`;
    this.usersLink = el('a', { href: way }, 'Users now');
    this.endsLink = el('a', { href: `${way}/ends` }, 'Last ends');
    attr(part === 'ends' ? this.endsLink : this.usersLink, 'aria-current', 'page');
    this.table = part === 'ends' ? new EndedTable(page, false) : new UsersTable(page, false);
    this.body = el('div', null,
      el('div', { class: 'acts' }, this.copy, this.pause, this.resume, this.close_),
      this.facts,
      el('div', { class: 'curves' }, this.bytes.node, this.users.node),
      el('nav', { class: 'parts', 'aria-label': 'Of this tunnel' }, this.usersLink, this.endsLink),
      this.table.node);
    this.node = el('div', { class: 'tunnel' },
      el('p', { class: 'back' }, el('a', { href: '#/' }, '← All')),
      el('div', { class: 'head' }, this.name, this.badge.node), this.gone, this.body);
  }

  button(label, act, kind = '') {
    return el('button', { type: 'button', class: kind, on: { click: () => this.tunnel && act() } }, label);
  }

  title() {
    return this.tunnel ? nameOf(this.tunnel) : 'Tunnel';
  }

  paths() {
    return this.part === 'ends' ? { ended: query('ended', { tunnel: this.id, limit: 1000 }) } : { users: usersPath(this.id) };
  }

  update(answers) {
    const tunnel = answers.tunnels.find((t) => t.id === this.id);
    this.tunnel = tunnel ?? this.tunnel;
    show(this.gone, !tunnel);
    show(this.body, Boolean(tunnel));
    show(this.badge.node, Boolean(tunnel));
    text(this.name, this.tunnel ? nameOf(this.tunnel) : 'Tunnel');
    if (!tunnel) return;
    this.badge.update(tunnel, this.page.now());
    show(this.copy, Boolean(tunnel.public));
    show(this.pause, tunnel.state !== 'paused');
    show(this.resume, tunnel.state === 'paused');
    show(this.close_, !this.page.services()); // it ends with its forwarder
    this.updateFacts(tunnel);
    const series = this.page.history.tunnels.get(this.id);
    if (series) {
      this.bytes.draw(this.page.history, this.page.time, [series.received, series.sent]);
      this.users.draw(this.page.history, this.page.time, [series.users]);
    }
    text(this.usersLink, `Users now ${format.count(tunnel.users)}`);
    if (this.part === 'ends') this.table.update(answers.ended, answers.tunnels);
    else this.table.update(answers.users, answers.tunnels);
  }

  updateFacts(t) {
    const now = this.page.now();
    const date = (iso) => (iso ? [format.clock(new Date(iso), now), `${format.exact(new Date(iso))}, ${format.ago(new Date(iso), now)}`] : null);
    const facts = [
      ['Public address', t.public && [t.public]],
      ['Name at the relay', t.service && t.name && [t.name]],
      ['Local server', t.local && [t.local]],
      ['Relay client', t.relayClient && [t.relayClient]],
      ['Identity', t.identity && [t.identity]],
      ['Protocol', t.protocol && [t.protocol]],
      ['Round trip', roundTrip(t) && [format.span(roundTrip(t))]],
      ...(t.members ?? []).map((m) => [`Member ${m.relayClient}`, [memberWords(m, now), m.error && words.plain(m.error)]]),
      ['Last probe', t.probe && [probeWords(t.probe, now, this.page.services()), format.exact(new Date(t.probe.at))]],
      ['State since', date(t.since)],
      ['Opened', date(t.opened)],
      ['Port kept until', date(t.until)],
      ['Connections', [format.count(t.connections)]],
      ['Waiting', t.waiting && [format.count(t.waiting)]],
      ['From users', [format.bytes(t.received), `${format.count(t.received)} bytes`]],
      ['To users', [format.bytes(t.sent), `${format.count(t.sent)} bytes`]],
    ].filter(([, value]) => value);
    if (t.members) facts.splice(2, 0, ['Group', [format.count(t.members.length) + (t.members.length === 1 ? ' member' : ' members')]]);
    keep(this.facts, facts, ([name]) => name, ([name]) => el('div', { class: name === 'Last probe' || name.startsWith('Member ') ? 'broad' : null }, el('dt', null, name), el('dd')), (node, [, [value, title]]) => {
      text(node.lastChild, value);
      attr(node.lastChild, 'title', title ?? value);
    });
  }

  close() {
    this.table.close();
    this.bytes.close();
    this.users.close();
  }
}

function memberWords(m, now) {
  const users = `${format.count(m.users)} ${m.users === 1 ? 'user' : 'users'}`;
  const trip = m.roundTripSeconds ? `, round trip ${format.span(m.roundTripSeconds)}` : '';
  return `${m.name ? `${m.name}: ` : ''}${words.state(m.state).word.toLowerCase()} since ${format.ago(new Date(m.since), now)}, ${users}, ${m.protocol}${trip}`;
}

function probeWords(probe, now, services) {
  const when = format.ago(new Date(probe.at), now);
  if (!probe.ok) return `${words.plain(probe.error || 'failed')}, ${when}`;
  if (services) return `Accepted in ${format.span(probe.dialSeconds || probe.tookSeconds)}, ${when}`;
  const dial = probe.dialSeconds ? `, of it ${format.span(probe.dialSeconds)} at the local server` : '';
  return `Answered in ${format.span(probe.tookSeconds)}${dial}, ${when}`;
}
