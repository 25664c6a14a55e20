// A job as a row of a table. On a narrow screen the same cells become two lines.

import { h, mark, row, say, show } from './dom.js';
import { jobAddress, stateMark, time } from './parts.js';
import { oneLine, took, visible } from './words.js';

function head(all) {
  return h('thead', h('tr', h('th.choose.writes', all),
    [['State'], ['Job'], ['Queue', 'far'], ['Priority', 'n far'], ['Runs', 'n far'], ['Took', 'n far'], ['Changed', 'n']]
      .map(([title, kind]) => h('th', { scope: 'col', class: kind ?? null }, title))));
}

function make(rows) {
  const box = h('input', { type: 'checkbox' });
  const state = stateMark();
  const id = h('a.id');
  const label = h('span.chip');
  const command = h('code.cut');
  const cells = { queue: h('td.far'), priority: h('td.n.far'), runs: h('td.n.far'), took: h('td.n.far') };
  const changed = time(null);
  const node = h('tr', h('td.choose.writes', h('label', box)), h('td', state),
    h('td.job', h('div', id, label, command)), Object.values(cells), h('td.n', changed));
  box.addEventListener('change', () => rows.choose(node, box.checked));
  node.addEventListener('click', (event) => rows.clicked(node, event));
  node.choice = box;
  /** What a change says of itself, before the whole job is read again. */
  node.hint = (change) => {
    state.show(waiting(change));
    changed.at = change.at;
  };
  return row(node, (job) => {
    node.job = job;
    mark(box, 'aria-label', `choose job ${job.id}`);
    state.show(job);
    say(id, visible(job.id));
    mark(id, 'href', jobAddress(job.id));
    show(say(label, visible(job.label)), job.label);
    say(command, oneLine(job.command));
    mark(command, 'title', visible(job.command));
    say(cells.queue, visible(job.queue));
    say(cells.priority, job.priority || '');
    say(cells.runs, job.run ? `${job.attempts}${job.max_retries ? ` / ${job.max_retries + 1}` : ''}` : '');
    say(cells.took, job.state === 'processing' ? '' : job.duration_seconds === null ? '' : took(job.duration_seconds));
    changed.at = job.updated_at;
  });
}

const WAITING_FOR = { later: 'time', held: 'release', blocked: 'jobs', ready: 'slot', claimed: 'slot' };

const waiting = ({ state, stage }) => ({ state, waiting_for: WAITING_FOR[stage] ?? null });

export const jobRow = { head, make };
