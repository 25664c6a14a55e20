// The overview: is all well, how much is done and how fast, what waits and for how long, what went wrong lately.

import './chart.js';
import { get } from './api.js';
import { calm, fill, follow, h, mark, row, say, show, View } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { card, jobLine, table } from './parts.js';
import { QUEUE_SHORT, queueRow } from './queue_row.js';
import { findings, verdict } from './verdict.js';
import { brief, count, many, oneLine, reasonOf, short, took, visible, when } from './words.js';

const STATES = ['pending', 'processing', 'completed', 'failed', 'dead', 'cancelled'];
const SPANS = [['hour', 'Hour'], ['day', 'Day'], ['week', 'Week']];
const OFTEN_MS = 1000;
const SELDOM_MS = 5000;

class Overview extends View {
  start() {
    this.span = SPANS.some(([name]) => name === this.params.get('span')) ? this.params.get('span') : 'hour';
    this.build();
    const often = calm(() => this.load(() => this.refresh()), OFTEN_MS);
    const seldom = calm(() => this.load(() => this.drawSeries()), SELDOM_MS);
    this.on(live, 'status', () => this.showStatus());
    this.on(live, 'mode', () => this.showStatus());
    for (const name of ['jobs', 'tick', 'workers']) this.on(live, name, () => { often(); seldom(); });
    const slide = setInterval(() => document.hidden || seldom(), 60_000);
    this.life.signal.addEventListener('abort', () => clearInterval(slide));
    this.showStatus();
    this.begin();
  }

  /** What is seen never moves: it is shown once all of it is known, or known to be missing. */
  async begin() {
    this.className = 'unready';
    const told = live.status ? null : new Promise((go) => {
      for (const name of ['status', 'mode']) this.on(live, name, go);
    });
    await Promise.all([told, this.load(() => this.refresh()), this.load(() => this.drawSeries())]);
    this.className = '';
  }

  update(params) {
    this.params = params;
    this.span = params.get('span') ?? 'hour';
    this.showSpan();
    this.load(() => this.drawSeries());
  }

  build() {
    this.banner = h('section.banner', { 'aria-labelledby': 'well', 'data-tone': 'wait' });
    this.tiles = STATES.map((state) => tile(state));
    this.rate = h('q-chart', { tall: 300 });
    this.waits = h('q-chart');
    this.spans = SPANS.map(([name, label]) => h('a', { href: name === 'hour' ? '#/' : `#/?span=${name}` }, label));
    this.figures = h('dl.figures');
    this.queues = h('tbody');
    this.running = h('ul.list');
    this.due = h('ul.list');
    this.wrong = h('ul.list');
    const headed = (title, aside, ...content) => h('section.card', h('div.head', h('h2', title), aside), ...content);
    this.append(
      h('h1.unseen', 'Overview'), this.banner,
      h('ul.tiles', { 'aria-label': 'Jobs by state' }, this.tiles),
      h('div.grid.wide',
        headed('Throughput', h('div.spans', { role: 'group', 'aria-label': 'Span of the charts' }, this.spans), this.rate),
        card('Waiting and running times', this.waits, this.figures)),
      h('div.grid',
        headed('Queues', more('#/queues', 'All queues'), table(QUEUE_SHORT, this.queues, 'two')),
        headed('Running now', more('#/workers', 'Workers'), this.running)),
      h('div.grid',
        headed('Due next', more('#/schedules', 'Schedules'), this.due),
        headed('What went wrong', more('#/dead', 'Dead letters'), this.wrong)));
    this.showSpan();
  }

  showSpan() {
    this.spans.forEach((link, i) => mark(link, 'aria-current', SPANS[i][0] === this.span ? 'true' : null));
  }

  showStatus() {
    const { status, mode } = live;
    const { tone, title, text } = verdict(status, mode);
    mark(this.banner, 'data-tone', tone);
    const shape = { good: 'completed', warn: 'warning', bad: 'dead' }[tone];
    const found = status && tone !== 'good' && mode !== 'stale' ? findings(status) : [];
    const said = JSON.stringify([tone, title, text, found]);
    if (said !== this.said) {
      this.said = said;
      fill(this.banner, shape && icon(shape), h('div', h('h2', { id: 'well' }, title),
        found.length ? h('ul', found.map(finding)) : h('p', text)));
    }
    if (status) this.tiles.forEach((one) => one.show(status));
  }

  async refresh() {
    const [queues, workers, schedule, dead] = await Promise.all(
      [get('queues'), get('workers'), get('schedule', { limit: 5 }), get('dead', { limit: 5 })]);
    follow(this.queues, queues.queues.slice(0, 8), (one) => one.queue, () => queueRow(QUEUE_SHORT, () => this.refresh()));
    this.showRunning(workers.workers);
    this.showDue(schedule.jobs);
    this.showWrong(dead.groups);
  }

  showRunning(workers) {
    const slots = workers.reduce((sum, worker) => sum + worker.slots, 0);
    const running = workers.flatMap((worker) => worker.running.map((job) => ({ ...job, worker })));
    const text = workers.length ? `Nothing. ${many(slots, 'slot')} of ${many(workers.length, 'worker')} are free.` : 'No worker is running.';
    listed(this.running, running.slice(0, 6), (job) => job.id, jobLine((job) => job.since), text, running.length - 6, '#/jobs?state=processing');
  }

  showDue(jobs) {
    listed(this.due, jobs.slice(0, 5), (job) => job.id, jobLine((job) => job.next_run_at), 'Nothing is scheduled.');
  }

  showWrong(groups) {
    listed(this.wrong, groups.slice(0, 5), (group) => reasonOf(group), groupLine, 'Nothing is dead.');
  }

  showFigures({ points, duration_percentiles: runs, wait_percentiles: waits }) {
    const sum = (name) => points.reduce((all, point) => all + point[name], 0);
    const [good, bad] = [sum('completed'), sum('failed')];
    const share = good + bad ? `${((good / (good + bad)) * 100).toFixed(bad && bad < good / 100 ? 2 : 1)} %` : '–';
    const three = (all) => ['p50', 'p90', 'p99'].map((name) => short(all?.[name])).join(' · ');
    const rows = [['Waited p50 · 90 · 99', three(waits)], ['Took p50 · 90 · 99', three(runs)],
      ['Runs ended · failed', `${brief(good + bad)} · ${brief(bad)}`], ['Runs that succeeded', share]];
    follow(this.figures, rows, ([name]) => name, ([name]) => {
      const value = h('dd');
      return row(h('div', h('dt', name), value), ([, text]) => say(value, text));
    });
  }

  async drawSeries() {
    const found = await get('series', { span: this.span });
    const { points, step_s: step } = found;
    this.showFigures(found);
    const since = Date.parse(found.covers_from) > Date.parse(points[0].at) + 1000 ? `, known since ${when(found.covers_from)}` : '';
    const times = points.map(({ at }) => Date.parse(at));
    const sum = (name) => points.reduce((all, point) => all + point[name], 0);
    const values = (name) => points.map((point) => point[name] ?? null);
    this.rate.draw({
      times, bars: true, format: brief,
      summary: `Last ${this.span}, each bar ${took(step)}: ${count(sum('completed'))} completed, ${count(sum('failed'))} runs failed${since}`,
      series: [{ name: 'completed', tone: 'completed', values: values('completed') }, { name: 'failed', tone: 'failed', values: values('failed') }],
    });
    this.waits.draw({
      times, format: short,
      summary: 'Medians: took (solid), waited (dashed)',
      series: [{ name: 'took', tone: 'took', values: values('duration_p50_s') }, { name: 'waited', tone: 'waited', values: values('wait_p50_s') }],
    });
  }
}

const more = (href, text) => h('a.more', { href }, text, icon('right'));
const finding = ({ text, href, tone }) => h('li', { 'data-tone': tone }, h('a', { href }, visible(text)));

function tile(state) {
  const number = h('b', '–');
  const node = h('li', { 'data-tone': state }, h('a', { href: `#/jobs?state=${state}` }, h('span', icon(state), state), number));
  return row(node, (status) => {
    say(number, brief(status[state]));
    mark(number, 'title', count(status[state]));
    mark(node, 'data-zero', !status[state]);
  });
}

/** Keeps a list in step with items; says something in words when there are none, and how many more there are. */
function listed(list, items, keyOf, make, empty, others = 0, href = '') {
  follow(list, items, keyOf, make);
  list.rest ??= list.parentElement.appendChild(h('p.rest'));
  const text = items.length ? (others > 0 ? `and ${many(others, 'more', 'more')}` : '') : empty;
  if (list.rest.textContent !== text) fill(list.rest, others > 0 ? h('a', { href }, text) : text);
  show(list.rest, text);
}

const groupLine = (group) => {
  const number = h('b');
  const node = h('li.line', number, h('a', { href: `#/dead?reason=${encodeURIComponent(reasonOf(group))}` }, visible(reasonOf(group))),
    h('span.soft.cut', oneLine(group.newest?.command)));
  return row(node, (now) => say(number, `${brief(now.count)} ×`));
};

customElements.define('q-overview', Overview);
