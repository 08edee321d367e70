// Sparklines: how something went in the last two minutes, or since the page was opened. What it is now stands beside
// them as a number, so they are hidden from screen readers.

import { attr, svg } from './dom.js';

const longest = 120_000;
const shortest = 20_000;
const width = 96;
const height = 20;

export class Spark {
  constructor(kind) {
    this.area = svg('path', { class: 'area' });
    this.line = svg('path', { class: 'line', 'vector-effect': 'non-scaling-stroke' });
    this.node = svg('svg', {
      class: `spark ${kind}`, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true',
    }, this.area, this.line);
  }

  // draw shows value(slot) over the last minutes of a history.
  draw(history, now, value) {
    const points = [];
    let most = 0;
    const window = Math.max(shortest, Math.min(longest, history.age(now)));
    history.slots(now - window, (slot, time) => {
      const v = value(slot);
      if (Number.isNaN(v)) return;
      points.push([width - ((now - time) / window) * width, v]);
      if (v > most) most = v;
    });
    const scale = most > 0 ? (height - 3) / most : 0;
    const line = points.map(([x, v], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${(height - 1.5 - v * scale).toFixed(1)}`).join('');
    attr(this.line, 'd', line);
    attr(this.area, 'd', points.length > 1
      ? `${line}L${points.at(-1)[0].toFixed(1)} ${height}L${points[0][0].toFixed(1)} ${height}Z` : '');
  }
}
