// Spools: folders of packets that become jobs, strictly in order; which packet comes next, and what keeps it.

import { get, post, remove } from './api.js';
import { calm, fill, follow, h, row, say, show, View } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { ask, cells, complain, field, jobAddress, nothing, table, tell } from './parts.js';
import { count, visible } from './words.js';

const COLUMNS = ['Spool', 'Folder', 'Queue', '>Next packet', 'State', '>'];

class Spools extends View {
  start() {
    this.rows = h('tbody');
    this.none = nothing('No folder of packets is attached.', h('code.command', 'queuectl spool attach FOLDER -- PROGRAM'));
    this.table = h('section.card', table(COLUMNS, this.rows));
    this.append(h('div.row.title', h('h1', 'Spools'), h('span.grow'),
      h('button.writes', { onclick: () => this.attach() }, icon('plus'), 'Attach a folder')), this.none, this.table);
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
    const node = h('tr', made);
    const act = (what, label) => h('button.link.writes', { onclick: () => this.act(node.spool, what) }, label);
    return row(node, (spool) => {
      node.spool = spool;
      say(name, visible(spool.name));
      say(folder, visible(spool.folder));
      say(queue, visible(spool.queue));
      say(next, count(spool.next));
      const said = JSON.stringify([spool.is, spool.stopped, spool.job]);
      if (node.said === said) return;
      node.said = said;
      const shape = spool.stopped || spool.next === null ? 'dead' : spool.job ? 'processing' : 'pending';
      fill(state, h('span.state', { 'data-tone': shape }, icon(shape), h('span', spool.is.map(visible).join('; '))),
        spool.job && h('a', { href: jobAddress(spool.job) }, ' its job'));
      fill(acts, spool.stopped && act('retry', 'Try again'), (spool.stopped || !spool.job) && act('skip', 'Skip'),
        !spool.detaching && act('detach', 'Detach'));
    });
  }

  async act({ name, next }, what) {
    const path = `spools/${encodeURIComponent(name)}`;
    const asks = {
      skip: [`Skip packet ${next} of ${name}?`, 'It will not run; the next one comes. This cannot be undone.', 'Skip it'],
      detach: [`Detach ${name}?`, 'The folder and its packets stay as they are.', 'Detach'],
    }[what];
    if (asks && !(await ask({ title: asks[0], text: asks[1], go: asks[2], tone: 'dead' }))) return;
    await this.change(() => (what === 'detach' ? remove(path) : post(`${path}/${what}`)), `Spool ${name}: done`);
  }

  async attach() {
    const input = (name, props) => h('input', { name, ...props });
    const program = h('textarea', { name: 'command', rows: 2, required: true });
    const folder = input('folder', { required: true, placeholder: '/srv/spool' });
    const body = h('div', field('Folder', folder, 'On the server; fspl queue-init makes one.'),
      field('Command', program, 'The program and its arguments, one a line; the packet is its standard input.'),
      field('Name', input('name', { placeholder: 'the folder’s' })), field('Queue', input('queue', { placeholder: 'default' })));
    const given = await ask({ title: 'Attach a folder of packets', body, go: 'Attach' });
    if (!given) return;
    const words = given.command.split('\n').filter(Boolean);
    const asked = Object.fromEntries(Object.entries({ ...given, command: words }).filter(([, value]) => value.length));
    await this.change(() => post('spools', asked), 'Attached');
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
