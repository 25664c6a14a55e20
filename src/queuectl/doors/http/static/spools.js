// Spools: folders of packets that become jobs, strictly in order; which packet comes next, and what keeps it.

import { get, post, remove } from './api.js';
import { calm, fill, follow, h, mark, row, say, show, View } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { ask, cells, complain, field, nothing, table, tell } from './parts.js';
import { count, visible } from './words.js';

const COLUMNS = ['Spool', 'Folder', 'Queue', '>Next packet', 'State', '>'];

class Spools extends View {
  start() {
    this.rows = h('tbody');
    this.none = nothing('No folder of packets is attached.', h('code.command', null, 'queuectl spool attach FOLDER'));
    this.table = h('section.card', null, table(COLUMNS, this.rows));
    this.append(h('div.row.title', null, h('h1', null, 'Spools'), h('span.grow'), h('button.writes', { type: 'button', onclick: () => this.attach() }, icon('plus'), 'Attach a folder')), this.none, this.table);
    const again = calm(() => this.load(() => this.refresh()), 700);
    for (const name of ['jobs', 'tick']) this.on(live, name, again);
    this.load(() => this.refresh());
  }

  async refresh() {
    const { spools } = await get('spools');
    show(this.none, !spools.length);
    show(this.table, spools.length);
    follow(this.rows, spools, ({ name }) => name, () => this.row());
  }

  row() {
    const made = cells(COLUMNS);
    const [name, folder, queue, next, state, acts] = made;
    const node = h('tr', null, made);
    const act = (what, label) => h('button.link.writes', { type: 'button', onclick: () => this.act(node.spool, what) }, label);
    return row(node, (spool) => {
      node.spool = spool;
      say(name, visible(spool.name));
      say(folder, visible(spool.folder));
      say(queue, visible(spool.queue));
      say(next, count(spool.next));
      const words = visible(spool.waits ?? 'ready');
      if (state.dataset.said !== words) fill(mark(state, 'data-said', words), h('span.state', { 'data-tone': spool.stuck ? 'dead' : 'completed' }, icon(spool.stuck ? 'dead' : 'completed'), words));
      const stuck = String(Boolean(spool.stuck));
      if (acts.dataset.said !== stuck) fill(mark(acts, 'data-said', stuck), spool.stuck && act('retry', 'Try again'), ' ', spool.stuck && act('skip', 'Skip it'), ' ', act('detach', 'Detach'));
    });
  }

  async act({ name, next }, what) {
    const path = `spools/${encodeURIComponent(name)}`;
    const asks = { skip: [`Skip packet ${next} of ${name}?`, 'It will not run; the next one comes. This cannot be undone.'], detach: [`Detach ${name}?`, 'The folder and its packets stay as they are.'] }[what];
    if (asks && !(await ask({ title: asks[0], text: asks[1], go: what === 'skip' ? 'Skip it' : 'Detach', tone: 'dead' }))) return;
    await this.change(() => (what === 'detach' ? remove(path) : post(`${path}/${what}`)), `Spool ${name}: done`);
  }

  async attach() {
    const body = h('div', null, field('Folder', h('input', { name: 'folder', required: true, placeholder: '/srv/spool' }), 'On the machine of the server.'),
      field('Name', h('input', { name: 'name', placeholder: 'the folder’s name' })), field('Queue', h('input', { name: 'queue', placeholder: 'default' })),
      field('Command', h('input', { name: 'command', placeholder: 'the packet’s own' }), 'What runs for each packet, its payload as standard input.'));
    const given = await ask({ title: 'Attach a folder of packets', body, go: 'Attach' });
    if (given) await this.change(() => post('spools', Object.fromEntries(Object.entries(given).filter(([, value]) => value))), 'Attached');
  }

  async change(work, done) {
    try {
      await work();
      tell(done);
      await this.refresh();
    } catch (problem) {
      complain(problem);
    }
  }
}

customElements.define('q-spools', Spools);
