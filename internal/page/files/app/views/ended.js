// Connections that are over, the latest first: who ended each, and how.

import { attr, el, text } from '../dom.js';
import * as format from '../format.js';
import { bytesCell, cell, list, nameOf, When } from '../parts.js';
import { Table } from '../table.js';
import * as words from '../words.js';

export function endingOf(e) {
  if (e.joined) return words.ending(e.endedBy, e.how);
  const limit = e.limit ? ` (${words.plain(e.limit).toLowerCase()})` : '';
  return `Not joined: ${words.reason(e.reason).toLowerCase()}${limit}`;
}

function endCell(td) {
  const end = el('span');
  const address = el('div', { class: 'narrow' });
  td.append(end, address);
  return (e) => {
    text(end, endingOf(e));
    text(address, e.address);
    attr(td, 'title', [endingOf(e), e.error].filter(Boolean).join('\n'));
  };
}

export class EndedTable {
  constructor(page, ofAll) {
    this.page = page;
    this.names = new Map();
    this.table = new Table({
      label: 'Last ends', key: (e) => e.key, empty: 'Nobody has left yet.',
      columns: [
        { key: 'at', title: 'Ended', class: 'c-when', cell: (td) => {
          const when = new When();
          td.append(when.node);
          return (e) => when.update(e.at, page.now());
        } },
        { key: 'address', title: 'Address', class: 'c-address mid', cell: cell((e) => e.address, (e) => e.address) },
        ...(ofAll ? [{ key: 'tunnel', title: 'Tunnel', class: 'c-tunnel wide', cell: cell((e) => this.names.get(e.tunnel) ?? e.service ?? e.name ?? e.tunnel) }] : []),
        { key: 'end', title: 'Who and how', class: 'c-end', cell: endCell },
        { key: 'lasted', title: 'Lasted', class: 'c-span num wide', cell: cell((e) => (e.joined ? format.span(e.durationSeconds) : '–')) },
        { key: 'waited', title: 'Waited', class: 'c-span num wide', cell: cell((e) => format.span(e.waitedSeconds)) },
        { key: 'received', title: 'From user', class: 'c-bytes num wide', cell: bytesCell((e) => e.received) },
        { key: 'sent', title: 'To user', class: 'c-bytes num wide', cell: bytesCell((e) => e.sent) },
      ],
    });
    this.node = el('div', null, this.table.node);
  }

  update(answer, tunnels) {
    if (answer === undefined) return;
    this.names = new Map(tunnels.map((t) => [t.id, nameOf(t)]));
    const seen = new Map();
    const rows = list(answer);
    for (const e of rows) {
      // Two ends may be alike in all that is known of them.
      const same = `${e.at} ${e.tunnel} ${e.address}`;
      const n = (seen.get(same) ?? 0) + 1;
      seen.set(same, n);
      e.key = `${same} ${n}`;
    }
    this.table.set(rows);
  }

  close() {
    this.table.close();
  }
}
