// What can be done to jobs: which action, for which of them, what it is called on the command line, what to ask first.

import { jobPath, post, remove } from './api.js';
import { h } from './dom.js';
import { ask, complain, field, tell } from './parts.js';
import { many, quoted } from './words.js';

const ENDED = ['completed', 'dead', 'cancelled'];
const waits = (job) => job.state === 'pending' || job.state === 'failed';
const held = (job) => waits(job) && job.waiting_for === 'release';
const dueLater = (job) => job.state === 'failed' && job.waiting_for === 'time';

export const ACTIONS = {
  retry: {
    label: 'Retry', done: 'asked to run again', main: true,
    allows: (job) => job.state === 'dead' || job.state === 'cancelled' || dueLater(job),
    cli: (id) => `queuectl retry ${id}`,
  },
  release: { label: 'Release', done: 'released', main: true, allows: held, cli: (id) => `queuectl release ${id}` },
  hold: { label: 'Hold', done: 'held', allows: (job) => waits(job) && !held(job), cli: (id) => `queuectl hold ${id}` },
  cancel: {
    label: 'Cancel', done: 'cancelled', tone: 'dead',
    allows: (job) => waits(job) || job.state === 'processing',
    asks: (job) => job.state === 'processing' && 'It is running. The whole tree of its processes is asked to end, and killed after its grace.',
    cli: (id) => `queuectl cancel ${id}`,
  },
  priority: { label: 'Priority', done: 'given another priority', only: 'many', allows: waits },
  delete: {
    label: 'Delete', shape: 'remove', done: 'deleted', tone: 'dead',
    allows: (job) => ENDED.includes(job.state),
    asks: () => 'Its log and history go with it. This cannot be undone.',
    cli: (id) => `queuectl clean ${id}`,
  },
};

/** Does it to one job, after asking where that is due. Returns whether it was done. */
export async function actOn(job, name) {
  const action = ACTIONS[name];
  const text = action.asks?.(job);
  if (text && !(await ask({ title: `${action.label} job ${job.id}?`, text, go: action.label, tone: action.tone }))) return false;
  try {
    if (name === 'delete') await remove(jobPath(job.id));
    else await post(jobPath(job.id, `/${name}`));
    tell(`Job ${job.id} ${action.done}`);
    return true;
  } catch (problem) {
    complain(problem);
    return false;
  }
}

/** Does it to many: tells how many it would touch, asks, does, tells how many it touched. `which`: {ids} or {where}. */
export async function actOnMany(which, name) {
  const action = ACTIONS[name];
  try {
    const value = name === 'priority' ? await askPriority(which) : undefined;
    if (value === null) return false;
    const wish = { action: name, ...which, ...(value === undefined ? {} : { value }) };
    const would = await post('jobs/actions', { ...wish, dry_run: true });
    if (!would.changed) {
      tell(`None of ${would.matched === 1 ? 'this job' : `these ${many(would.matched, 'job')}`} can be ${action.done}`, 'bad');
      return false;
    }
    const text = would.matched === would.changed ? null : `Of ${many(would.matched, 'job')} chosen, ${would.changed} allow it.`;
    const extra = name === 'delete' ? 'Logs and history go with them. This cannot be undone.' : null;
    const title = `${action.label} ${many(would.changed, 'job')}?`;
    const body = [text, extra].filter(Boolean).join(' ');
    if (!(await ask({ title, text: body, go: `${action.label} ${would.changed}`, tone: action.tone }))) return false;
    const done = await post('jobs/actions', wish);
    tell(`${many(done.changed, 'job')} ${action.done}`);
    return true;
  } catch (problem) {
    complain(problem);
    return false;
  }
}

async function askPriority() {
  const input = h('input', { type: 'number', name: 'priority', value: '0', step: '1', required: true });
  const given = await ask({ title: 'Which priority?', body: field('Priority', input, 'Larger numbers run first; 0 is the default.'), go: 'Next' });
  return given ? Number(given.priority) : null;
}

/** The command line that adds this job again. */
export function asCommand(job) {
  const options = [['queue', job.queue === 'default' ? null : job.queue], ['priority', job.priority || null],
    ['max-retries', job.max_retries === 3 ? null : job.max_retries], ['timeout', job.timeout], ['label', job.label], ['cwd', job.cwd]];
  const given = options.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => ` --${name} ${quoted(value)}`);
  const work = job.argv ? ` -- ${job.argv.map(quoted).join(' ')}` : ` --command ${quoted(job.command)}`;
  return `queuectl enqueue${given.join('')}${work}`;
}
