// Small charts drawn by hand in SVG: bars up and down from a line, or lines over each other. A sentence tells the same.

import { h, say, svg } from './dom.js';
import { day, hour } from './words.js';

const HEIGHT = 168;
const BELOW = 0.2; // of the height, for what goes down
const FOOT = 20;
const SIDE = 40;
const DAY_MS = 86_400_000;

/** The next 1, 2 or 5 times a power of ten: what an axis ends with. */
function roof(value) {
	if (!(value > 0)) return 1;
	const power = 10 ** Math.floor(Math.log10(value));
	return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

const highest = (series) => Math.max(0, ...series.flatMap(({ values }) => values));

/**
 * <q-chart>: draws what its property `drawn` is: {times, series: [{name, values}], bars, format, summary}; times in ms,
 * values null where nothing is known. With `bars` the second series goes down: what failed is told by its place.
 */
class Chart extends HTMLElement {
	said = h('p.readout.soft.cut', { 'aria-hidden': 'true' });
	plot = svg('svg', { class: 'plot', role: 'img' });
	cursor = svg('rect', { class: 'cursor', y: 0, visibility: 'hidden' });

	connectedCallback() {
		this.append(this.said, this.plot);
		this.plot.onpointermove = (event) => this.point(event.offsetX);
		this.plot.onpointerleave = () => this.point(-1);
		new ResizeObserver(() => this.paint()).observe(this);
	}

	set drawn(what) {
		this.what = what;
		this.paint();
	}

	paint() {
		const wide = Math.floor(this.clientWidth);
		if (!wide) return;
		const { times, series, bars, summary } = this.what;
		const tall = Number(this.getAttribute('tall') ?? HEIGHT);
		Object.assign(this, { width: wide - SIDE, height: tall - FOOT, each: (wide - SIDE) / times.length });
		const [up, down] = bars ? series.map((one) => highest([one])) : [highest(series), 0];
		const share = bars ? BELOW : 0;
		this.zero = Math.round(this.height * (1 - share));
		this.top = roof(Math.max(up, share && down * (1 / share - 1)));
		const sizes = { width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}`, 'aria-label': summary };
		for (const [name, value] of Object.entries(sizes)) this.plot.setAttribute(name, value);
		this.cursor.setAttribute('height', this.height);
		this.cursor.setAttribute('width', Math.max(2, this.each));
		this.plot.replaceChildren(...this.rules(), ...this.ticks(), ...series.map((one, i) => (bars ? this.bars(one, i) : this.line(one))), this.cursor);
		this.point(-1);
	}

	y(value) {
		return this.zero - (value / this.top) * (this.zero - 8);
	}

	rules() {
		return [0, 0.5, 1].flatMap((share) => {
			const y = Math.round(this.y(this.top * share)) + 0.5;
			const rule = svg('line', { class: 'rule', x1: 0, x2: this.width, y1: y, y2: y });
			return share ? [rule, svg('text', { class: 'tick', x: this.width + 6, y: y + 4 }, this.what.format(this.top * share))] : rule;
		});
	}

	ticks() {
		const { times } = this.what;
		const name = times.at(-1) - times[0] > DAY_MS ? day : hour;
		const every = Math.ceil(times.length / Math.max(2, Math.min(6, Math.floor(this.width / 90))));
		return times.flatMap((at, i) => (i % every ? [] : svg('text', { class: 'tick', x: Math.round(i * this.each), y: this.height + 15 }, name(at))));
	}

	bars({ name, values }, down) {
		const wide = (this.each - (this.each > 4)).toFixed(1);
		const path = values.map((value, i) => {
			if (!value) return '';
			const far = Math.max(2.5, this.zero - this.y(value)) * (down ? 1 : -1);
			return `M${(i * this.each).toFixed(1)} ${this.zero + down}v${far.toFixed(1)}h${wide}v${(-far).toFixed(1)}Z`;
		});
		return svg('path', { class: `bar ${name}`, d: path.join('') || 'M0 0' });
	}

	/** A point alone shows as a dot: its line has a length of almost nothing. */
	line({ name, values }) {
		const path = values.map((value, i) => (value === null ? ''
			: `${(values[i - 1] ?? null) === null ? 'M' : 'L'}${((i + 0.5) * this.each).toFixed(1)} ${this.y(value).toFixed(1)}h.1`));
		return svg('path', { class: `curve ${name}`, d: path.join('') || 'M0 0' });
	}

	/** Tells the values under the pointer; without one, the summary. */
	point(x) {
		const { times, series, format, summary } = this.what;
		const i = Math.floor(x / this.each);
		const at = times[i];
		this.cursor.setAttribute('visibility', at ? 'visible' : 'hidden');
		this.cursor.setAttribute('x', i * this.each);
		const told = series.map(({ name, values }) => `${name} ${values[i] === null ? '–' : format(values[i])}`);
		say(this.said, at ? `${day(at)}, ${hour(at)}: ${told.join(', ')}` : summary);
	}
}

customElements.define('q-chart', Chart);
