// A queue as a row of a table: how deep, how old, how fast it may run, and the switch that pauses it.

import { patch } from './api.js';
import { fill, h, mark, row, say, show } from './dom.js';
import { live } from './live.js';
import { ask, cells, complain, field, tell, toggle } from './parts.js';
import { about, brief, visible } from './words.js';

export const QUEUE_FULL = ['Queue', '>Pending', '>Running', '>Failed', '>Dead', '>Completed', '>Oldest', 'Limits', '>Served'];
export const QUEUE_SHORT = ['Queue', '>Pending', '>Running', '>Failed', '>Oldest', '>Served'];
const STATES = { '>Pending': 'pending', '>Running': 'processing', '>Failed': 'failed', '>Dead': 'dead', '>Completed': 'completed' };

export function queueRow(titles, changed) {
  const made = cells(titles);
  const at = (title) => made[titles.indexOf(title)] ?? h('td');
  const name = h('a');
  const badge = h('span.chip', { 'data-tone': 'failed' }, 'paused');
  const counts = Object.entries(STATES).map(([title, state]) => [state, at(title).appendChild(h('a'))]);
  const limits = h('button.link.writes');
  const limitsRead = h('span.reads');
  const node = h('tr', made);
  at('Queue').append(name, ' ', badge);
  at('Limits').append(limits, limitsRead);
  limits.addEventListener('click', () => changeLimits(node.queue, changed));
  return row(node, (queue) => {
    node.queue = queue;
    const address = `#/jobs?queue=${encodeURIComponent(queue.queue)}`;
    mark(say(name, visible(queue.queue)), 'href', address);
    show(badge, queue.paused);
    for (const [state, link] of counts) {
      mark(mark(say(link, brief(queue[state] ?? 0)), 'href', `${address}&state=${state}`), 'data-zero', !queue[state]);
    }
    const oldest = queue.oldest_waiting_seconds;
    say(at('>Oldest'), oldest === null || oldest === undefined ? '–' : about(oldest));
    say(limits, limitWords(queue));
    say(limitsRead, limitWords(queue));
    showSwitch(at('>Served'), queue, changed);
  });
}

function showSwitch(place, queue, changed) {
  const said = `${queue.paused}${live.readOnly}`;
  if (place.dataset.said === said) return;
  place.dataset.said = said;
  const done = queue.paused ? 'is served again' : 'is paused; what runs goes on';
  fill(place, live.readOnly ? h('span', queue.paused ? 'no' : 'yes')
    : toggle(`${queue.queue} is served`, !queue.paused, () => change(queue.queue, { paused: !queue.paused }, done, changed)));
}

export const limitWords = ({ parallel, rate }) => [parallel && `${parallel} at once`, rate].filter(Boolean).join(', ') || 'none';

async function change(name, wish, done, changed) {
  try {
    await patch(`queues/${encodeURIComponent(name)}`, wish);
    tell(`Queue ${name} ${done}`);
    await changed();
  } catch (problem) {
    complain(problem);
  }
}

async function changeLimits(queue, changed) {
  const limits = await askLimits(`Limits of queue ${queue.queue}`, queue);
  if (limits) await change(queue.queue, limits, 'has its limits', changed);
}

/** Asks for limits, of a queue or of a key: {parallel, rate}, what else `more` asks for, or null. */
export async function askLimits(title, { parallel, rate }, ...more) {
  const given = await ask({
    title, go: 'Set',
    body: h('div', more, field('At once', h('input', { type: 'number', name: 'parallel', min: 1, value: parallel ?? '', placeholder: 'no limit' })),
      field('Rate', h('input', { name: 'rate', value: rate ?? '', placeholder: 'no limit' }), 'How many may start in a time: 10/s, 90/m, 500/h.')),
  });
  return given && { ...given, parallel: given.parallel === '' ? null : Number(given.parallel), rate: given.rate || null };
}
