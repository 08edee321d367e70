// The limits, and what is used of each.

import { attr, el, keep, text } from '../dom.js';
import * as format from '../format.js';
import { list } from '../parts.js';
import * as words from '../words.js';

export class LimitsView {
  constructor(page) {
    this.page = page;
    this.rows = el('tbody');
    this.node = el('div', null, el('div', { class: 'toolbar' }, el('h1', null, 'Limits')),
      el('div', { class: 'tableframe' }, el('table', { class: 'limits', 'aria-label': 'Limits' },
        el('thead', null, el('tr', null,
          el('th', { scope: 'col', class: 'c-limit' }, 'Limit'), el('th', { scope: 'col', class: 'num' }, 'Used'), el('th', { scope: 'col', class: 'num' }, 'At most'),
          el('th', { scope: 'col', class: 'c-meter wide' }, 'Share'), el('th', { scope: 'col', class: 'num' }, 'Met'))),
        this.rows)),
      el('p', { class: 'hint' }, 'Met is how often somebody has met the limit since the start. What is for each source, or for each tunnel, has no one number in use.'));
  }

  title() {
    return 'Limits';
  }

  paths() {
    return { limits: 'limits' };
  }

  update(answers) {
    if (answers.limits === undefined) return;
    keep(this.rows, list(answers.limits), (l) => l.name, (l) => el('tr', null,
      el('th', { scope: 'row', class: 'c-limit' }, el('span', null, words.plain(nameOf(l))), ' ', el('code', null, l.flag ? (l.flag.startsWith('-') ? l.flag : `--${l.flag}`) : '')),
      el('td', { class: 'num' }), el('td', { class: 'num' }),
      el('td', { class: 'c-meter wide' }, el('meter', { min: '0', max: '1', low: '0.7', high: '0.9', optimum: '0', 'aria-label': words.plain(nameOf(l)) }), ' ', el('span')),
      el('td', { class: 'num' })), (row, l) => {
      const [, used, most, share, met] = row.children;
      text(used, l.used < 0 ? '–' : amount(l, l.used));
      attr(used, 'title', l.used < 0 ? 'There is no one number: it is for each one.' : null);
      text(most, l.max < 0 ? 'no limit' : amount(l, l.max));
      const part = l.used >= 0 && l.max > 0 ? l.used / l.max : null;
      const [meter, percent] = share.children;
      meter.hidden = part === null;
      if (part !== null) attr(meter, 'value', part.toFixed(3));
      text(percent, part === null ? '' : `${Math.round(part * 100)} %`);
      text(met, format.count(l.met));
      attr(met, 'data-tone', l.met > 0 ? 'warn' : null);
    });
  }
}

// The unit of a limit stands at the end of its name.
const unit = /_(seconds|bytes)$/;

function nameOf(l) {
  return l.name.replace(unit, '');
}

function amount(l, n) {
  const name = l.name.match(unit)?.[1];
  return name === 'bytes' ? format.bytes(n) : name === 'seconds' ? format.span(n).replace('.0 s', ' s') : format.count(n);
}
