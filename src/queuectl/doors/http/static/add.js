// A form for a new job: a command, a program with its arguments, or a call. The same form edits what waits and repeats what was.

import { get, jobPath, patch, post } from './api.js';
import { fill, h, show, View } from './dom.js';
import { live } from './live.js';
import { choices, complain, field, jobAddress, nothing, tell } from './parts.js';
import { visible } from './words.js';

const KINDS = { command: 'Command', argv: 'Program and arguments', url: 'HTTP call' };
const EDITABLE = ['command', 'argv', 'priority', 'label', 'timeout', 'max_retries', 'delay', 'queue', 'limit_key'];
const headersOf = (text) => text.split('\n').filter((line) => line.trim())
  .map((line) => [line.split(':')[0].trim(), line.slice(line.indexOf(':') + 1).trim()]);
const number = (text) => (/^-?\d+$/.test(text) ? Number(text) : text);

// One row per field: name, label, hint, attributes, which kinds, how its text becomes JSON.
const FIELDS = [
  ['command', 'Command', 'Text for the shell.', { rows: 3, required: true, spellcheck: 'false' }, ['command']],
  ['argv', 'Program and arguments', 'One a line; no shell reads them.', { rows: 4, required: true, spellcheck: 'false' }, ['argv'],
    (text) => text.replace(/\n$/, '').split('\n')],
  ['url', 'URL', null, { type: 'url', required: true, placeholder: 'https://' }, ['url']],
  ['method', 'Method', null, { options: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'] }, ['url']],
  ['headers', 'Headers', 'One a line: Name: value', { rows: 2, spellcheck: 'false' }, ['url'], (text) => headersOf(text)],
  ['body', 'Body', null, { rows: 3, spellcheck: 'false' }, ['url']],
  ['expect_status', 'Statuses that mean success', 'For example 200, 204; empty: every 2xx.', { placeholder: '2xx' }, ['url']],
  ['queue', 'Queue', null, { placeholder: 'default' }],
  ['priority', 'Priority', 'Larger runs first.', { type: 'number', placeholder: '0' }, null, number],
  ['max_retries', 'Retries', 'After the first run.', { type: 'number', min: 0, placeholder: 'the setting' }, null, number],
  ['timeout', 'Time limit', 'Seconds, or 10m, 2h; 0: none.', { placeholder: 'the setting' }],
  ['delay', 'Not before', 'From now: 90, 10m, 2h30m. Or a time: 2026-12-01T06:00Z', { placeholder: 'now' }],
  ['after', 'After', 'Ids of jobs that must complete first: 5, build', {}],
  ['id', 'Id', null, { placeholder: 'the next number' }],
  ['label', 'Label', null, {}],
  ['key', 'Key', 'The same key adds a job once.', {}],
  ['cwd', 'Folder', null, { placeholder: 'the server’s own' }],
  ['limit_key', 'Limit key', 'Jobs that share it share its limits.', {}],
];

class Add extends View {
  start() {
    const { params } = this;
    this.edits = params.get('edit');
    this.load(async () => {
      const source = this.edits ?? params.get('from');
      this.build(source ? await get(jobPath(source)) : null);
    });
  }

  build(job) {
    if (live.readOnly) {
      fill(this, nothing('This page only reads: it was started by queuectl dashboard.'));
      return;
    }
    const kind = job?.argv ? 'argv' : job?.call ? 'url' : this.params.get('kind') in KINDS ? this.params.get('kind') : 'command';
    this.kind = h('select', { onchange: () => this.showKind() }, choices(Object.entries(KINDS), kind));
    this.fields = FIELDS.filter(([name]) => !this.edits || EDITABLE.includes(name)).map((spec) => this.field(spec, job));
    this.problem = h('p.wrong', { role: 'alert', hidden: true });
    const title = this.edits ? `Edit job ${visible(job.id)}` : job ? `Run job ${visible(job.id)} again` : 'New job';
    fill(this, h('h1', title), h('form.card.form', { onsubmit: (event) => this.send(event), novalidate: true },
      show(field('What runs', this.kind), !job), this.fields.map(({ box }) => box), this.problem,
      h('div.row.end', h('a.button', { href: job ? jobAddress(job.id) : '#/jobs' }, 'Leave it'),
        h('button.primary', { type: 'submit' }, this.edits ? 'Save' : 'Add the job'))));
    this.showKind();
    this.querySelector('textarea:not([hidden] *), input:not([hidden] *)')?.focus();
  }

  field([name, label, hint, attributes, kinds, becomes], job) {
    const { rows, options, ...rest } = attributes;
    const before = starting(name, job, Boolean(this.edits));
    const input = options ? h('select', rest, choices(options.map((one) => [one, one]), before || 'GET'))
      : h(rows ? 'textarea' : 'input', { ...rest, rows, autocomplete: 'off', value: before });
    return { name, kinds, becomes, input, before, box: field(label, input, hint) };
  }

  showKind() {
    for (const { kinds, box } of this.fields) show(box, !kinds || kinds.includes(this.kind.value));
  }

  asked() {
    const asked = {};
    for (const { name, kinds, becomes, input, before } of this.fields) {
      if (kinds && !kinds.includes(this.kind.value)) continue;
      const text = input.value;
      if (this.edits ? text === before : !text && !input.required) continue;
      const place = name === 'delay' && /^\d{4}-/.test(text) ? 'run_at' : name;
      asked[place] = text === '' && !input.required ? null : becomes ? becomes(text) : text;
    }
    return asked;
  }

  async send(event) {
    event.preventDefault();
    show(this.problem, false);
    try {
      const job = this.edits ? await patch(jobPath(this.edits), this.asked()) : await post('jobs', this.asked());
      tell(`Job ${job.id} ${this.edits ? 'is changed' : 'is added'}`);
      location.hash = jobAddress(job.id);
    } catch (problem) {
      if (!problem.facts) throw problem;
      this.problem.textContent = problem.line;
      show(this.problem, true);
      const wrong = this.fields.find(({ name }) => name === problem.facts.field);
      this.fields.forEach(({ input }) => input.removeAttribute('aria-invalid'));
      wrong?.input.setAttribute('aria-invalid', 'true');
      wrong?.input.focus();
      if (!wrong) complain(problem);
    }
  }
}

/** What a field holds at first: of the job that is edited or repeated, without what a second job cannot share. */
function starting(name, job, edits) {
  if (!job) return '';
  if (['id', 'key', 'delay'].includes(name) && !edits) return '';
  if (name === 'argv') return (job.argv ?? []).join('\n');
  if (name === 'command' && (job.argv || job.call)) return '';
  const value = job[name] ?? job.call?.[name];
  if (name === 'headers' && value) return (Array.isArray(value) ? value : Object.entries(value)).map(([key, text]) => `${key}: ${text}`).join('\n');
  return value === null || value === undefined ? '' : String(value);
}

customElements.define('q-add', Add);
