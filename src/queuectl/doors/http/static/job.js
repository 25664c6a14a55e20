// A job: what it is, why it waits or how it ended, everything it did, its output as it is written, and what can be done about it.

import './log.js';
import { ACTIONS, actOn, asCommand } from './actions.js';
import { get, jobPath, post } from './api.js';
import { calm, fill, follow, h, row, say, show, View } from './dom.js';
import { facts } from './facts.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { card, cells, complain, copy, copyButton, jobAddress, jobLine, nothing, stateMark, table, tell, time } from './parts.js';
import { reasonOf, size, took, visible, when } from './words.js';

const WHY_MS = 10_000; // why it waits, and since when it runs, changes without a change of the job
const RUNS = ['Run', 'Ended with', 'Started', '>Took', '>Processor', '>Memory', '>Worker'];

class JobView extends View {
  start() {
    this.id = this.params.get('id');
    this.className = 'unready'; // until all is known: what is seen never moves
    this.build();
    const again = calm(() => this.load(() => this.refresh()), 250);
    this.on(live, 'jobs', ({ detail }) => detail.some((change) => change.id === this.id) && again());
    this.on(live, 'tick', again);
    this.load(() => this.refresh());
    const ages = setInterval(() => this.job && !document.hidden && !this.job.finished_at && this.load(() => this.explain()), WHY_MS);
    this.life.signal.addEventListener('abort', () => clearInterval(ages));
  }

  failed(problem) {
    this.className = '';
    if (problem.status !== 404) super.failed(problem);
    else fill(this, nothing(`There is no job ${visible(this.id)}.`, h('a', { href: '#/jobs' }, 'All jobs')));
  }

  build() {
    this.state = stateMark();
    this.name = h('h1', `Job ${visible(this.id)}`);
    this.label = h('span.chip');
    this.buttons = h('div.row.writes');
    this.command = h('code.command');
    this.why = h('ul.why', { 'aria-label': 'Why' });
    this.output = h('q-log');
    this.facts = h('dl.facts');
    this.attempts = h('tbody');
    this.history = h('ol.history');
    this.dependants = h('ul.list');
    const commandLine = () => asCommand(this.job);
    this.attemptCard = card('Runs', table(RUNS, this.attempts, 'two'));
    this.dependantCard = card('What waits for it', this.dependants);
    this.append(
      h('div.row.title', this.state, this.name, this.label, h('span.grow'), this.buttons),
      h('section.card', h('div.row.top', this.command, copyButton(commandLine, 'Copy as a command line')), this.why),
      h('div.grid.wide', h('section.card.log', h('h2', 'Output'), this.output), card('Facts', this.facts)),
      this.attemptCard, h('div.grid', card('History', this.history), this.dependantCard));
  }

  async refresh() {
    const path = (rest) => jobPath(this.id, rest);
    const job = await get(path(''));
    this.showJob(job);
    const [attempts, history, dependants] = await Promise.all(
      [...['/attempts', '/history', '/dependants'].map((rest) => get(path(rest))), this.explain()]);
    this.showAttempts(attempts.attempts, job);
    this.showHistory(history.history);
    this.showDependants(dependants.dependants);
    this.className = '';
  }

  async explain() {
    this.showWhy((await get(jobPath(this.id, '/explain'))).reasons);
  }

  showJob(job) {
    const again = this.job && job.run > this.job.run;
    const first = !this.job;
    this.job = job;
    this.state.show(job);
    show(say(this.label, visible(job.label)), job.label);
    say(this.command, visible(job.command));
    facts(this.facts, job);
    this.showButtons(job);
    if (first) this.output.open(job);
    else if (again && !this.output.listening && !this.output.which.run) this.output.listen();
  }

  showButtons(job) {
    const names = Object.keys(ACTIONS).filter((name) => ACTIONS[name].only !== 'many' && ACTIONS[name].allows(job));
    const editable = job.state === 'pending' || job.state === 'failed';
    const said = `${names}${editable}`;
    if (this.buttons.dataset.said === said) return;
    this.buttons.dataset.said = said;
    const main = names.find((name) => ACTIONS[name].main);
    fill(this.buttons,
      names.map((name) => h('button', { class: name === main ? 'primary' : null, onclick: () => this.act(name) },
        icon(ACTIONS[name].shape ?? name), ACTIONS[name].label)),
      editable && h('a.button', { href: `#/add?edit=${encodeURIComponent(job.id)}` }, icon('edit'), 'Edit'),
      h('button', { onclick: () => this.rerun() }, icon('running'), 'Run again'),
      h('a.button', { href: `#/add?from=${encodeURIComponent(job.id)}` }, icon('edit'), 'Edit and run again'),
      h('button', { onclick: () => copy(asCommand(this.job)) }, icon('copy'), 'Copy as command'));
  }

  async act(name) {
    const done = await actOn(this.job, name);
    if (done && name === 'delete') location.hash = '#/jobs';
    else if (done) await this.load(() => this.refresh());
  }

  async rerun() {
    try {
      const copied = await post(jobPath(this.id, '/rerun'));
      tell(`Job ${copied.id} does the same again`);
      location.hash = jobAddress(copied.id);
    } catch (problem) {
      complain(problem);
    }
  }

  showWhy(reasons) {
    follow(this.why, reasons.map((text, i) => ({ text, i })), ({ i }) => i, () => {
      const line = h('li');
      return row(line, ({ text }) => say(line, visible(text)));
    });
  }

  showAttempts(attempts, job) {
    show(this.attemptCard, attempts.length);
    this.output.offer(attempts.map((attempt) => attempt.run), job.stderr_apart);
    follow(this.attempts, [...attempts].reverse(), (attempt) => attempt.run, attemptRow);
  }

  showHistory(entries) {
    follow(this.history, entries.map((entry, i) => ({ ...entry, i })).reverse(), ({ i }) => i, historyLine);
  }

  showDependants(jobs) {
    show(this.dependantCard, jobs.length);
    follow(this.dependants, jobs, (job) => job.id, jobLine((job) => job.updated_at));
  }
}

function attemptRow() {
  const made = cells(RUNS);
  const [run, end, started, duration, processor, memory, worker] = made;
  return row(h('tr', made), (attempt) => {
    say(run, attempt.run);
    const good = attempt.exit_code === 0 && !attempt.reason;
    const text = attempt.ended_at ? visible(reasonOf(attempt)) : 'still runs';
    if (end.dataset.said !== text) {
      end.dataset.said = text;
      const tone = !attempt.ended_at ? 'processing' : good ? 'completed' : 'dead';
      fill(end, h('span.state', { 'data-tone': tone }, icon(tone === 'dead' ? 'dead' : tone), text));
    }
    say(started, when(attempt.started_at));
    say(duration, attempt.ended_at ? took((Date.parse(attempt.ended_at) - Date.parse(attempt.started_at)) / 1000) : '');
    say(processor, attempt.cpu_seconds === null ? '' : took(attempt.cpu_seconds));
    say(memory, attempt.memory_max_bytes ? size(attempt.memory_max_bytes) : '');
    say(worker, attempt.worker ?? '');
  });
}

function historyLine(entry) {
  return row(h('li', h('b', visible(entry.event)), h('span', ` → ${entry.stage}`), entry.run ? h('span.soft', ` run ${entry.run}`) : null,
    h('span.soft', ` by ${visible(entry.by)}`), entry.note && h('p', visible(entry.note)), time(entry.at)), () => {});
}

customElements.define('q-job', JobView);
