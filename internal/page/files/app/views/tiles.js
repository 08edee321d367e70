// The tiles: how much goes through, at a glance.

import { attr, el, text } from '../dom.js';
import * as format from '../format.js';
import { Spark } from '../spark.js';

class Tile {
  constructor(label, kind) {
    this.label = el('dt', null, label);
    this.value = el('dd', { class: 'value' });
    this.more = el('dd', { class: 'more' });
    this.spark = kind ? new Spark(kind) : null;
    this.node = el('div', { class: 'tile' }, this.label, this.value, this.more);
    if (this.spark) this.node.append(el('dd', { class: 'curve', 'aria-hidden': 'true' }, this.spark.node));
  }

  update(value, more, title = null) {
    text(this.value, value);
    text(this.more, more);
    attr(this.node, 'title', title);
  }
}

export class Tiles {
  constructor() {
    this.users = new Tile('Users now', 'users');
    this.received = new Tile('From users', 'received');
    this.sent = new Tile('To users', 'sent');
    this.tunnels = new Tile('Tunnels');
    this.connections = new Tile('Connections');
    this.node = el('dl', { class: 'tiles' },
      this.users.node, this.received.node, this.sent.node, this.tunnels.node, this.connections.node);
  }

  update({ status, tunnels }, page) {
    const { total } = page.history;
    this.users.update(format.count(status.users), status.waiting ? `${format.count(status.waiting)} waiting to be joined` : 'none waiting');
    this.received.update(format.rate(total.rate.received), `${format.bytes(status.received)} in all`, `${format.count(status.received)} bytes`);
    this.sent.update(format.rate(total.rate.sent), `${format.bytes(status.sent)} in all`, `${format.count(status.sent)} bytes`);
    for (const [tile, values] of [[this.users, total.users], [this.received, total.received], [this.sent, total.sent]]) {
      tile.spark.draw(page.history, page.time, (slot) => values[slot]);
    }
    const up = tunnels.filter((t) => t.state === 'up').length;
    text(this.tunnels.label, page.services() ? 'Services' : 'Tunnels');
    this.tunnels.update(format.count(status.tunnels), `${format.count(up)} up${status.away ? `, ${format.count(status.away)} away` : ''}`);
    const seconds = (page.now() - new Date(status.started)) / 1000;
    this.connections.update(format.count(status.connections),
      `in ${format.span(seconds)}`, `since ${format.exact(new Date(status.started))}`);
  }
}
