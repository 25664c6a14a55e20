// The table of jobs. The address holds the view: filters, search, order and page; what happens shows in place.

import { actOnMany, ACTIONS } from './actions.js';
import { get } from './api.js';
import { calm, fill, follow, h, mark, say, show, View } from './dom.js';
import { icon } from './icons.js';
import { jobRow } from './job_row.js';
import { live } from './live.js';
import { choices, jobAddress, nothing } from './parts.js';
import { Rows } from './rows.js';
import { brief, many, now, reasonOf, visible } from './words.js';

const STATES = ['pending', 'processing', 'failed', 'dead', 'completed', 'cancelled'];
const SORTS = [['newest', 'Newest first'], ['oldest', 'Oldest first'], ['updated', 'Last changed first'], ['priority', 'Next to start first']];
const SINCE = [['', 'Added any time'], ['1', 'Added in the last hour'], ['24', 'Added in the last day'], ['168', 'Added in the last week']];
const FILTERS = ['state', 'queue', 'label', 'q', 'since', 'reason', 'exit_code'];
const PAGE = 50;
const LOOK_AGAIN_MS = 700;
const LOOK_FOR_MS = 1500;

class Jobs extends View {
  start() {
    this.back = []; // the cursors of the pages before this one
    this.build();
    this.rows = new Rows(this.body, {
      open: (id) => { location.hash = jobAddress(id); },
      changed: () => this.showChosen(),
    });
    this.again = calm(() => this.load(() => this.refresh()), LOOK_AGAIN_MS);
    this.on(live, 'jobs', (event) => this.hear(event.detail));
    this.on(live, 'tick', () => this.again());
    this.on(live, 'status', () => this.showCounts());
    this.update(this.params);
    if (this.params.get('find')) this.search.focus();
  }

  build() {
    this.search = h('input', { type: 'search', placeholder: 'id, command or label', 'aria-label': 'Search id, command and label', maxlength: 200 });
    this.queue = h('select', { 'aria-label': 'Queue', onchange: () => this.go({ queue: this.queue.value }) });
    this.label = h('input', { placeholder: 'label', 'aria-label': 'Label', size: 10, onchange: () => this.go({ label: this.label.value }) });
    this.since = h('select', { 'aria-label': 'Added since', onchange: () => this.go({ since: this.since.value }) }, choices(SINCE));
    this.sort = h('select', { 'aria-label': 'Order', onchange: () => this.go({ sort: this.sort.value }) }, choices(SORTS));
    this.states = STATES.map((state) => h('button.pick', { 'aria-pressed': 'false', 'data-tone': state, onclick: () => this.pick(state) },
      icon(state), h('span', state), h('b')));
    this.ended = h('button.pick', { hidden: true, 'aria-pressed': 'true', onclick: () => this.go({ reason: '', exit_code: '' }) });
    this.search.addEventListener('input', () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.go({}, true), 250);
    });
    this.all = h('input', { type: 'checkbox', 'aria-label': 'Choose all on this page', onchange: () => this.rows.chooseAll(this.all.checked) });
    this.body = h('tbody');
    this.table = h('div.scroll', h('table.jobs', jobRow.head(this.all), this.body));
    this.none = nothing('No job is like that.', h('a.button', { href: '#/jobs' }, 'Show all jobs'));
    this.fresh = h('button.fresh', { hidden: true, onclick: () => this.load(() => this.refresh()) });
    this.chosen = h('div.chosen.writes', { role: 'group', 'aria-label': 'What to do with the chosen jobs' });
    this.previous = h('button', { onclick: () => this.turn(-1) }, icon('left'), 'Previous');
    this.next = h('button', { onclick: () => this.turn(1) }, 'Next', icon('right'));
    this.place = h('span.soft', { role: 'status' });
    this.append(h('h1.unseen', 'Jobs'),
      h('form.filters', { role: 'search', onsubmit: (event) => event.preventDefault() },
        h('label.find', icon('search'), this.search, h('kbd', { 'aria-hidden': 'true' }, '/')), this.queue, this.label, this.since, this.sort),
      h('div.picks', { role: 'group', 'aria-label': 'States' }, this.states, this.ended),
      this.chosen, h('section.card.flush', this.table, this.none),
      h('div.row.pages', this.place, this.fresh, this.previous, this.next));
  }

  // ---------------------------------------------------------- the address

  update(params) {
    const before = this.where ? JSON.stringify(this.where) : null;
    this.params = params;
    this.where = this.filters();
    if (document.activeElement !== this.search) this.search.value = params.get('q') ?? '';
    this.label.value = params.get('label') ?? '';
    this.since.value = params.get('since') ?? '';
    this.sort.value = params.get('sort') ?? 'newest';
    const states = this.picked();
    this.states.forEach((button, i) => mark(button, 'aria-pressed', String(states.includes(STATES[i]))));
    const { reason = 'none', exit_code: code } = this.where;
    const ended = reasonOf({ reason: reason === 'none' ? null : reason, exit_code: code });
    fill(show(this.ended, this.where.reason || code), `ended with ${visible(ended)}`, icon('cancel'));
    if (before !== JSON.stringify(this.where)) this.rows.forget();
    this.load(() => this.refresh());
  }

  filters() {
    return Object.fromEntries(FILTERS.flatMap((name) => (this.params.get(name) ? [[name, this.params.get(name)]] : [])));
  }

  picked() {
    return (this.params.get('state') ?? '').split(',').filter(Boolean);
  }

  pick(state) {
    const states = this.picked();
    this.go({ state: (states.includes(state) ? states.filter((one) => one !== state) : [...states, state]).join(',') });
  }

  /** Another view of the jobs: changes the address, and the address changes the page. */
  go(changes, replace = false) {
    clearTimeout(this.typing);
    const params = new URLSearchParams(location.hash.split('?')[1]);
    for (const name of ['after', 'find']) params.delete(name);
    if (!('after' in changes)) this.back = [];
    for (const [name, value] of Object.entries({ q: this.search.value.trim(), ...changes })) {
      if (value) params.set(name, value);
      else params.delete(name);
    }
    const hash = `#/jobs${params.size ? `?${params}` : ''}`;
    if (hash === location.hash) return;
    if (replace) {
      history.replaceState(null, '', hash);
      this.update(params);
    } else location.hash = hash;
  }

  turn(step) {
    if (step > 0) {
      this.back.push(this.params.get('after') ?? '');
      this.go({ after: this.cursor });
    } else if (this.back.length) this.go({ after: this.back.pop() });
    else this.go({ after: '' });
  }

  // ---------------------------------------------------------- what is shown

  async refresh() {
    this.asked?.abort();
    this.asked = new AbortController();
    const { jobs, next } = await this.read(this.asked.signal);
    this.jobs = jobs;
    this.cursor = next;
    follow(this.body, jobs, (job) => job.number, () => jobRow.make(this.rows));
    this.rows.refreshed();
    show(this.table, jobs.length);
    show(this.none, !jobs.length);
    show(this.fresh, false);
    this.missed = 0;
    this.previous.disabled = !this.params.get('after');
    this.next.disabled = !next;
    const more = jobs.length < PAGE && next ? ', and more to look through' : '';
    say(this.place, jobs.length || next ? `${many(jobs.length, 'job')} on this page${more}` : '');
    this.showCounts();
    this.showChosen();
  }

  /** A page of jobs. A search looks through so many jobs at a time; what it found so far is asked on from there. */
  async read(signal) {
    const { since, ...where } = this.where;
    const ask = { ...where, since: since && new Date(now() - since * 3_600_000).toISOString(), sort: this.params.get('sort') };
    const jobs = [];
    let next = this.params.get('after');
    const until = performance.now() + LOOK_FOR_MS;
    do {
      const found = await get('jobs', { ...ask, after: next, limit: PAGE - jobs.length }, signal);
      jobs.push(...found.jobs);
      next = found.next;
    } while (next && jobs.length < PAGE && performance.now() < until);
    return { jobs, next };
  }

  /** What is on the page changes in place at once; new jobs come in by themselves unless somebody is at work here. */
  hear(changes) {
    const shown = new Map(this.jobs?.map((job) => [job.number, job]));
    const known = changes.filter((change) => shown.has(change.number));
    for (const change of known) this.rows.node(change.number)?.hint(change);
    const busy = this.rows.size || this.rows.at || this.params.get('after');
    if (!busy || known.length === changes.length) this.again();
    else {
      this.missed = (this.missed ?? 0) + new Set(changes.filter((change) => change.event === 'add').map((change) => change.number)).size;
      say(this.fresh, `${many(this.missed, 'new job')}: show`);
      show(this.fresh, this.missed);
    }
  }

  showCounts() {
    const status = live.status ?? {};
    const queues = Object.keys(status.queues ?? {});
    const plain = !this.where?.queue && !this.where?.q && !this.where?.label && !this.where?.since;
    this.states.forEach((button, i) => say(button.lastElementChild, plain ? brief(status[STATES[i]]) : ''));
    const wanted = [...new Set([...queues, this.params.get('queue')].filter(Boolean))].sort();
    const listed = JSON.stringify(wanted);
    if (this.queue.dataset.listed !== listed) {
      this.queue.dataset.listed = listed;
      fill(this.queue, choices([['', 'All queues'], ...wanted.map((name) => [name, name])]));
    }
    this.queue.value = this.params.get('queue') ?? '';
  }

  // ---------------------------------------------------------- choosing

  showChosen() {
    const n = this.rows.size;
    const whole = this.rows.whole;
    this.all.checked = n > 0 && n === this.jobs.length;
    this.all.indeterminate = n > 0 && n < this.jobs.length;
    const said = `${n} ${whole} ${this.cursor !== null}`;
    if (this.chosen.dataset.said === said) return;
    this.chosen.dataset.said = said;
    show(this.chosen, n);
    if (!n) return;
    const canAll = n === this.jobs.length && (this.cursor || this.params.get('after'));
    fill(this.chosen,
      h('span', { role: 'status' }, whole ? 'All jobs of this filter are chosen' : `${many(n, 'job')} chosen`),
      canAll && h('button.link', { onclick: () => this.rows.chooseWhole(!whole) }, whole ? 'only this page' : 'choose all of this filter'),
      ...Object.entries(ACTIONS).map(([name, { label, shape }]) => h('button', { onclick: () => this.act(name) }, icon(shape ?? name), label)),
      h('button.link', { onclick: () => this.rows.forget() }, 'Forget the choice'));
  }

  async act(name) {
    const which = this.rows.whole ? { where: this.where } : { ids: this.rows.chosen() };
    if (await actOnMany(which, name)) this.rows.forget();
    await this.load(() => this.refresh());
  }

  key(event) {
    if (event.key === '/') {
      this.search.focus();
      this.search.select();
      return true;
    }
    return this.rows.key(event);
  }
}

customElements.define('q-jobs', Jobs);
