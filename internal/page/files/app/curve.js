// Curves of the last five minutes, drawn by uPlot.

import uPlot from '../vendor/uPlot.esm.js';
import { el, text } from './dom.js';
import * as format from './format.js';

const longest = 300; // seconds
const shortest = 60;
const height = 160;

const kinds = {
  bytes: {
    title: 'Bytes per second',
    series: [{ label: 'from users', color: '--received', show: format.rate }, { label: 'to users', color: '--sent', show: format.rate }],
    least: 1000,
    size: 72,
    axis: (v) => format.rate(v).replace(/\.0+ /, ' '),
    increments: Array.from({ length: 40 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3)),
  },
  users: {
    title: 'Users',
    series: [{ label: 'users', color: '--users', show: format.count }],
    least: 4,
    size: 56,
    axis: format.count,
    increments: Array.from({ length: 24 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3)),
  },
};

export class Curve {
  constructor(kind) {
    this.kind = kinds[kind];
    this.values = this.kind.series.map(() => el('b'));
    this.plot = el('div', { class: 'plot' });
    this.node = el('figure', { class: 'curvebox card' },
      el('figcaption', null, el('span', { class: 'title' }, this.kind.title), ...this.kind.series.map((s, i) =>
        el('span', { class: `key key${s.color}` }, s.label, ' ', this.values[i]))),
      this.plot);
    this.data = [[], ...this.kind.series.map(() => [])];
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.plot);
    // The colors of the canvas do not follow the style sheet by themselves.
    this.dark = matchMedia('(prefers-color-scheme: dark)');
    this.repaint = () => this.rebuild();
    this.dark.addEventListener('change', this.repaint);
    addEventListener('themechange', this.repaint);
  }

  close() {
    this.sizes.disconnect();
    this.dark.removeEventListener('change', this.repaint);
    removeEventListener('themechange', this.repaint);
    this.chart?.destroy();
    this.chart = null;
  }

  // draw shows the arrays of a history's series.
  draw(history, now, arrays) {
    const times = [];
    const data = arrays.map(() => []);
    this.seconds = Math.max(shortest, Math.min(longest, history.age(now) / 1000));
    history.slots(now - this.seconds * 1000, (slot, time) => {
      times.push(time / 1000);
      arrays.forEach((array, i) => data[i].push(Number.isNaN(array[slot]) ? null : array[slot]));
    });
    this.data = [times, ...data];
    this.until = now / 1000;
    if (!this.chart) this.rebuild();
    else this.chart.setData(this.data);
    this.label();
  }

  // label shows the values under the pointer, or the last ones.
  label() {
    const under = this.chart?.cursor.idx;
    const index = under ?? this.data[0].length - 1;
    this.kind.series.forEach((s, i) => {
      const value = this.data[i + 1][index];
      text(this.values[i], value === null || value === undefined ? '–' : s.show(value));
    });
  }

  resize() {
    const width = this.plot.clientWidth;
    if (width <= 0) return;
    if (this.chart) this.chart.setSize({ width, height });
    else if (this.until) this.rebuild();
  }

  rebuild() {
    const width = this.plot.clientWidth;
    if (width <= 0 || !this.until) return;
    this.chart?.destroy();
    const style = getComputedStyle(this.node);
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: color('--muted'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
    this.chart = new uPlot({
      width, height,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'tunnel' }, points: { size: 6 } },
      scales: {
        x: { time: true, range: () => [this.until - this.seconds, this.until] },
        y: { range: (u, low, most) => [0, Math.max(this.kind.least, (most ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, space: 64, size: 28, incrs: [15, 30, 60, 120], values: (u, splits) => splits.map((s) => format.clock(new Date(s * 1000)).slice(0, this.seconds < 150 ? 8 : 5)) },
        { ...axis, size: this.kind.size, space: 36, incrs: this.kind.increments, values: (u, splits) => splits.map((v) => this.kind.axis(v)) },
      ],
      series: [{}, ...this.kind.series.map((s) => ({
        label: s.label, stroke: color(s.color), width: 1.5, fill: `${color(s.color)}1f`, points: { show: false },
      }))],
      hooks: { setCursor: [() => this.label()] },
    }, this.data, this.plot);
  }
}
