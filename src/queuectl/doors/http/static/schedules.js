// Schedules: what is added again and again, by which expression, and when next.

import { get, post, remove } from './api.js';
import { calm, fill, follow, h, mark, row, say, show, View } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { ask, cells, complain, field, jobAddress, nothing, table, tell, time, toggle } from './parts.js';
import { count, oneLine, visible } from './words.js';

const COLUMNS = ['Schedule', 'When', 'Next', 'Command', 'Last job', '>Jobs', '>Goes on', '>'];

class Schedules extends View {
  start() {
    this.rows = h('tbody');
    this.none = nothing('Nothing is added again and again.', h('code.command', "queuectl schedule add nightly '30 2 * * *' -- ./backup.sh"));
    this.table = h('section.card', table(COLUMNS, this.rows));
    this.append(h('div.row.title', h('h1', 'Schedules'), h('span.grow'),
      h('button.writes', { onclick: () => this.add() }, icon('plus'), 'New schedule')), this.none, this.table);
    const again = calm(() => this.load(() => this.refresh()), 700);
    for (const name of ['jobs', 'tick']) this.on(live, name, again);
    this.load(() => this.refresh());
  }

  async refresh() {
    const { schedules } = await get('schedules');
    show(this.none, !schedules.length);
    show(this.table, schedules.length);
    follow(this.rows, schedules, ({ name }) => name, ({ name }) => this.row(name));
  }

  row(id) {
    const made = cells(COLUMNS);
    const [name, when, next, command, last, jobs, goes, acts] = made;
    const age = next.appendChild(time(null));
    const link = last.appendChild(h('a'));
    const act = (label, work) => h('button.link.writes', { onclick: () => this.change(work, `Schedule ${id}: done`) }, label);
    const path = `schedules/${encodeURIComponent(id)}`;
    acts.append(act('Run now', () => post(`${path}/run`)), ' ', act('Remove', () => this.removed(id, path)));
    return row(h('tr', made), (schedule) => {
      say(name, visible(schedule.name));
      say(when, `${schedule.cron} (${schedule.zone ?? 'UTC'})`);
      age.at = schedule.paused ? null : schedule.next_at;
      say(command, oneLine(schedule.command));
      mark(say(link, visible(schedule.last_job)), 'href', schedule.last_job && jobAddress(schedule.last_job));
      say(jobs, count(schedule.jobs));
      const said = `${schedule.paused}${live.readOnly}`;
      if (goes.dataset.said === said) return;
      goes.dataset.said = said;
      const word = schedule.paused ? 'resume' : 'pause';
      fill(goes, live.readOnly ? h('span', schedule.paused ? 'no' : 'yes')
        : toggle(`${id} goes on`, !schedule.paused, () => this.change(() => post(`${path}/${word}`), `Schedule ${id}: ${word}d`)));
    });
  }

  async removed(name, path) {
    if (!(await ask({ title: `Remove schedule ${name}?`, text: 'The jobs it has added stay.', go: 'Remove', tone: 'dead' }))) return false;
    return remove(path);
  }

  async add() {
    const input = (name, props) => h('input', { name, required: true, ...props });
    const body = h('div', field('Name', input('name')),
      field('When', input('cron', { placeholder: '30 2 * * *' }), 'Minute, hour, day, month, day of the week; or @daily and the like.'),
      field('Time zone', input('zone', { required: false, placeholder: 'UTC' })),
      field('Command', h('textarea', { name: 'command', rows: 2, required: true })));
    const given = await ask({ title: 'A new schedule', go: 'Add', body });
    if (!given) return;
    const { name, cron, zone, command } = given;
    await this.change(() => post('schedules', { name, cron, ...(zone ? { zone } : {}), job: { command } }), `Schedule ${name} is added`);
  }

  async change(work, done) {
    try {
      if ((await work()) === false) return;
      tell(done);
      await this.refresh();
    } catch (problem) {
      complain(problem);
    }
  }
}

customElements.define('q-schedules', Schedules);
