// A table of any length: only rows that can be seen are in the document. The page scrolls,
// not the table.

import { attr, el, show, text } from './dom.js';

// spare is how many rows there are above and below those that can be seen.
const spare = 6;

const collator = new Intl.Collator('en', { numeric: true });

export class Table {
  // A column has key, title, optionally class, sort (row to a number or string) and
  // descending (the first order), and cell: given a td it returns a function that shows a
  // row in it.
  constructor({ label, columns, key, empty, sort, descending = false, onSort }) {
    Object.assign(this, { columns, key, sort, descending, onSort });
    this.rows = [];
    this.all = [];
    this.shown = new Map();
    this.pool = [];
    this.head = el('tr');
    this.headers = columns.map((column) => this.header(column));
    this.head.append(...this.headers);
    this.above = pad();
    this.below = pad();
    this.body = el('tbody', { on: { keydown: (event) => this.move(event) } });
    this.table = el('table', { 'aria-label': label, hidden: true }, el('thead', null, this.head), this.above, this.body, this.below);
    this.empty = el('p', { class: 'empty', hidden: true }, empty);
    this.node = el('div', { class: 'tableframe' }, this.table, this.empty);
    this.scrolled = () => {
      this.frame ||= requestAnimationFrame(() => this.render());
    };
    addEventListener('scroll', this.scrolled, { passive: true });
    addEventListener('resize', this.scrolled);
  }

  close() {
    removeEventListener('scroll', this.scrolled);
    removeEventListener('resize', this.scrolled);
    cancelAnimationFrame(this.frame);
  }

  header(column) {
    const th = el('th', { scope: 'col', class: column.class });
    if (!column.sort) {
      th.append(column.title === '' ? el('span', { class: 'unseen' }, 'Acts') : column.title);
      return th;
    }
    const change = () => {
      this.descending = this.sort === column.key ? !this.descending : Boolean(column.descending);
      this.sort = column.key;
      this.onSort?.(this.sort, this.descending);
      this.set(this.all);
    };
    th.append(el('button', { type: 'button', class: 'sort', on: { click: change } }, column.title));
    return th;
  }

  // set shows these rows, sorted.
  set(rows) {
    this.all = rows;
    const column = this.columns.find((c) => c.key === this.sort);
    this.columns.forEach((c, i) => {
      if (c.sort) attr(this.headers[i], 'aria-sort', c !== column ? 'none' : this.descending ? 'descending' : 'ascending');
    });
    this.rows = column?.sort ? sorted(rows, column.sort, this.descending) : rows;
    attr(this.table, 'aria-rowcount', String(rows.length + 1));
    show(this.empty, rows.length === 0);
    show(this.table, rows.length > 0);
    this.render();
  }

  setEmpty(words) {
    text(this.empty, words);
  }

  // range returns which rows can be seen.
  range() {
    const top = this.body.getBoundingClientRect().top - this.above.height;
    const first = Math.floor(-top / this.rowHeight) - spare;
    const last = Math.ceil((innerHeight - top) / this.rowHeight) + spare;
    const limit = (n) => Math.max(0, Math.min(this.rows.length, n));
    return [limit(first), limit(last)];
  }

  measure() {
    // The height of a row depends on the width of the window, and stands in the style sheet.
    const height = parseFloat(getComputedStyle(this.table).getPropertyValue('--row'));
    this.rowHeight = height > 0 ? height : 36;
  }

  render() {
    this.frame = 0;
    if (!this.node.isConnected) return;
    this.measure();
    const [first, last] = this.range();
    const focus = document.activeElement;
    const now = new Set();
    for (let i = first; i < last; i++) now.add(this.key(this.rows[i]));
    for (const [id, row] of this.shown) {
      if (!now.has(id)) this.release(id, row);
    }
    this.above.resize(first * this.rowHeight);
    this.below.resize((this.rows.length - last) * this.rowHeight);
    let place = this.body.firstElementChild;
    for (let i = first; i < last; i++) {
      const row = this.row(this.key(this.rows[i]));
      if (row.node === place) place = place.nextElementSibling;
      else this.body.insertBefore(row.node, place);
      row.index = i;
      attr(row.node, 'aria-rowindex', String(i + 2));
      for (const update of row.updates) update(this.rows[i], i);
    }
    // A browser takes the focus from what is moved.
    if (focus !== document.activeElement && this.body.contains(focus)) focus.focus({ preventScroll: true });
  }

  row(id) {
    let row = this.shown.get(id);
    if (row) return row;
    row = this.pool.pop() ?? this.make();
    this.shown.set(id, row);
    return row;
  }

  make() {
    const node = el('tr');
    const updates = this.columns.map((column) => {
      const td = el('td', { class: column.class });
      node.append(td);
      return column.cell(td);
    });
    const row = { node, updates, index: 0 };
    node.tableRow = row;
    return row;
  }

  release(id, row) {
    // A keyboard's place must not be lost with its row.
    if (row.node.contains(document.activeElement)) {
      this.table.tabIndex = -1;
      this.table.focus({ preventScroll: true });
    }
    row.node.remove();
    this.shown.delete(id);
    if (this.pool.length < 64) this.pool.push(row);
  }

  // move goes to another row with the arrow keys, Home and End.
  move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    const row = event.target.closest('tr')?.tableRow;
    if (!step || !row || event.target.matches('input, select')) return;
    event.preventDefault();
    const to = Math.max(0, Math.min(this.rows.length - 1, row.index + step));
    const focusable = [...row.node.querySelectorAll('a, button')].indexOf(event.target);
    this.scrollTo(to);
    this.render();
    const target = this.shown.get(this.key(this.rows[to]));
    target?.node.querySelectorAll('a, button')[Math.max(0, focusable)]?.focus({ preventScroll: true });
  }

  scrollTo(index) {
    const top = this.body.getBoundingClientRect().top - this.above.height + index * this.rowHeight;
    const headroom = this.head.getBoundingClientRect().bottom + this.rowHeight / 2;
    if (top < headroom) scrollBy(0, top - headroom);
    else if (top + this.rowHeight > innerHeight) scrollBy(0, top + this.rowHeight * 1.5 - innerHeight);
  }
}

// pad returns what is as high as the rows that cannot be seen.
function pad() {
  const cell = el('td');
  const node = el('tbody', { class: 'pad', 'aria-hidden': 'true' }, el('tr', null, cell));
  node.height = 0;
  node.resize = (height) => {
    if (node.height === height) return;
    node.height = height;
    cell.style.height = `${height}px`;
  };
  return node;
}

function sorted(rows, value, descending) {
  const order = descending ? -1 : 1;
  const pairs = rows.map((row, i) => [value(row), i, row]);
  pairs.sort(([a, i], [b, j]) => {
    if (a === b) return i - j;
    return order * (typeof a === 'string' ? collator.compare(a, b) : a - b) || i - j;
  });
  return pairs.map(([, , row]) => row);
}
