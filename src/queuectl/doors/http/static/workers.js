// Workers: where they are, what their slots do since when, and ending them in three ways.

import { get, post } from './api.js';
import { calm, fill, follow, h, mark, row, say, show, View } from './dom.js';
import { live } from './live.js';
import { ask, complain, jobLine, nothing, tell, time } from './parts.js';
import { many, visible } from './words.js';

const WAYS = {
  finish: ['Let it finish', 'It takes no new job and ends when those that run have ended.'],
  leave: ['Leave its jobs running', 'It ends now; its jobs run on and the next worker takes them over.'],
  now: ['End its jobs now', 'Its jobs are ended and wait for another worker.'],
};

class Workers extends View {
  start() {
    this.list = h('div.groups');
    this.none = nothing('No worker is running, so nothing runs.', h('code.command', 'queuectl worker start --count 4'));
    this.append(h('h1', 'Workers'), this.none, this.list);
    const again = calm(() => this.load(() => this.refresh()), 500);
    for (const name of ['workers', 'jobs', 'tick']) this.on(live, name, again);
    this.load(() => this.refresh());
  }

  async refresh() {
    const { workers } = await get('workers');
    show(this.none, !workers.length);
    follow(this.list, workers, ({ id }) => id, (worker) => this.card(worker));
  }

  card({ id, host, pid, queues, offers, started_at: since }) {
    const slots = h('div.slots', { role: 'img' });
    const busy = h('b');
    const stopping = h('span.chip', { 'data-tone': 'failed' });
    const running = h('ul.list');
    const idle = h('p.soft', 'All its slots are free.');
    const tags = (offers ?? []).filter((word) => word.startsWith('tag:')).map((word) => word.slice(4));
    const node = h('section.card',
      h('div.head', h('h2', `Worker ${id}`), h('span.soft', `${visible(host)}, process ${pid}, since `, time(since)), stopping, h('span.grow'),
        h('button.writes', { onclick: () => this.stop(id) }, 'Stop')),
      h('p', busy, ` of its slots are busy; it serves ${listed(queues) || 'all queues'}${tags.length ? `, tagged ${listed(tags)}` : ''}.`),
      slots, idle, running);
    return row(node, (worker) => {
      const n = worker.running.length;
      say(busy, `${n} of ${worker.slots}`);
      mark(slots, 'aria-label', `${n} of ${many(worker.slots, 'slot')} busy`);
      if (slots.children.length !== Math.min(worker.slots, 256)) fill(slots, Array.from({ length: Math.min(worker.slots, 256) }, () => h('i')));
      [...slots.children].forEach((slot, i) => mark(slot, 'data-busy', i < n));
      show(say(stopping, worker.stopping ? `stopping: ${worker.stopping}` : ''), worker.stopping);
      show(idle, !n);
      follow(running, worker.running, (job) => job.id, jobLine((job) => job.since));
    });
  }

  async stop(id) {
    const body = h('fieldset', h('legend.unseen', 'How'), Object.entries(WAYS).map(([how, [title, text]]) =>
      h('label.way', h('input', { type: 'radio', name: 'how', value: how, checked: how === 'finish' }), h('span', h('b', title), text))));
    const given = await ask({ title: `Stop worker ${id}?`, body, go: 'Stop it', tone: 'dead' });
    if (!given) return;
    try {
      await post(`workers/${id}/stop`, { how: given.how });
      tell(`Worker ${id} was asked to stop`);
      await this.refresh();
    } catch (problem) {
      complain(problem);
    }
  }
}

const listed = (names) => (names ?? []).map(visible).join(', ');

customElements.define('q-workers', Workers);
