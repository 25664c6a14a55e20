// Small charts drawn by hand in SVG: bars up and down from a line, or lines over each other. A sentence tells the same.

import { fill, h, mark, say, svg } from './dom.js';
import { day, hour } from './words.js';

const HEIGHT = 168;
const BELOW = [0.12, 0.5]; // of the height, for what goes down: at least, at most
const FOOT = 20;
const SIDE = 40;
const HOUR_MS = 3_600_000;

/** The next 1, 2 or 5 times a power of ten: what an axis ends with. */
function roof(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

/**
 * <q-chart>: `draw({times, series: [{name, tone, values}], bars, format, summary})`; times in ms, values null where
 * nothing is known. With `bars` the second series goes down: what failed is told by its place, not by its colour.
 */
class Chart extends HTMLElement {
  connectedCallback() {
    if (!this.plot) this.build();
    this.sizes = new ResizeObserver(() => this.paint());
    this.sizes.observe(this);
  }

  disconnectedCallback() {
    this.sizes.disconnect();
  }

  build() {
    this.said = h('p.readout', { 'aria-hidden': 'true' });
    this.plot = svg('svg', { class: 'plot', role: 'img' });
    this.append(this.said, this.plot);
    this.plot.addEventListener('pointermove', (event) => this.point(event.offsetX));
    this.plot.addEventListener('pointerleave', () => this.point(null));
  }

  draw(what) {
    this.what = what;
    this.paint();
  }

  paint() {
    const width = Math.floor(this.clientWidth);
    if (!this.what || !width || !this.plot) return;
    const { times, series, bars, summary } = this.what;
    const tall = Number(this.getAttribute('tall') ?? HEIGHT);
    this.inner = { width: width - SIDE, height: tall - FOOT, each: (width - SIDE) / Math.max(1, times.length) };
    const tops = (all) => Math.max(0, ...all.flatMap(({ values }) => values.map((value) => value ?? 0)));
    const [up, down] = bars ? [tops(series.slice(0, 1)), tops(series.slice(1))] : [tops(series), 0];
    const share = bars ? Math.min(BELOW[1], Math.max(BELOW[0], down / (up + down || 1))) : 0;
    this.zero = Math.round(this.inner.height * (1 - share));
    this.top = roof(Math.max(up, share ? down * (1 / share - 1) : 0));
    mark(this.plot, 'height', tall);
    mark(this.plot, 'width', width);
    mark(this.plot, 'viewBox', `0 0 ${width} ${tall}`);
    mark(this.plot, 'aria-label', summary);
    this.cursor = svg('rect', { class: 'cursor', y: 0, height: this.inner.height, width: Math.max(2, this.inner.each), visibility: 'hidden' });
    fill(this.plot, this.grid(), bars ? this.bars() : this.lines(), this.cursor);
    this.point(null);
  }

  y(value) {
    return this.zero - (value / this.top) * (this.zero - 8);
  }

  grid() {
    const { width, height } = this.inner;
    const parts = [0, 0.5, 1].map((share) => {
      const y = Math.round(this.y(this.top * share)) + 0.5;
      return [svg('line', { class: 'rule', x1: 0, x2: width, y1: y, y2: y }),
        share > 0 && svg('text', { class: 'tick', x: width + 6, y: y + 4 }, this.what.format(this.top * share))];
    });
    return svg('g', {}, ...parts.flat(), ...this.ticks().map(([x, text]) => svg('text', { class: 'tick', x, y: height + 15 }, text)));
  }

  ticks() {
    const { times } = this.what;
    if (!times.length) return [];
    const span = times.at(-1) - times[0];
    const name = span > 30 * HOUR_MS ? day : hour;
    const n = Math.max(2, Math.min(6, Math.floor(this.inner.width / 90)));
    const every = Math.ceil(times.length / n);
    return times.flatMap((at, i) => (i % every === 0 ? [[Math.round(i * this.inner.each), name(at)]] : []));
  }

  bars() {
    const { each } = this.inner;
    const wide = (each - (each > 4 ? 1 : 0)).toFixed(1);
    return svg('g', {}, ...this.what.series.map(({ tone, values }, down) => {
      const path = values.map((value, i) => {
        if (!value) return '';
        const far = Math.max(2.5, this.zero - this.y(value)) * (down ? 1 : -1);
        return `M${(i * each).toFixed(1)} ${this.zero + down}v${far.toFixed(1)}h${wide}v${(-far).toFixed(1)}Z`;
      });
      return svg('path', { class: `bar ${tone}`, d: path.join('') || 'M0 0' });
    }));
  }

  lines() {
    return svg('g', {}, ...this.what.series.map(({ tone, values }) => {
      let pen = 'M';
      const path = values.map((value, i) => {
        if (value === null || value === undefined) {
          pen = 'M';
          return '';
        }
        const step = `${pen}${((i + 0.5) * this.inner.each).toFixed(1)} ${this.y(value).toFixed(1)}${pen === 'M' ? 'h.1' : ''}`;
        pen = 'L';
        return step;
      });
      return svg('path', { class: `curve ${tone}`, d: path.join('') || 'M0 0' });
    }));
  }

  /** Tells the values under the pointer; without one, the summary. */
  point(x) {
    if (!this.what) return;
    const i = x === null ? -1 : Math.floor(x / this.inner.each);
    const at = this.what.times[i];
    mark(this.cursor, 'visibility', at === undefined ? 'hidden' : 'visible');
    if (at === undefined) {
      say(this.said, this.what.summary);
      return;
    }
    mark(this.cursor, 'x', i * this.inner.each);
    const values = this.what.series.map(({ name, values: all }) => `${name} ${all[i] === null ? '–' : this.what.format(all[i])}`);
    say(this.said, `${day(at)}, ${hour(at)}: ${values.join(', ')}`);
  }
}

customElements.define('q-chart', Chart);
