// Dead letters by reason: what fails most stands first; one, some or all are tried again.

import { actOn, actOnMany } from './actions.js';
import { get } from './api.js';
import { calm, fill, h, mark, row, say, show, follow, View } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { jobAddress, nothing, time } from './parts.js';
import { count, many, oneLine, reasonOf, visible } from './words.js';

class Dead extends View {
  start() {
    this.total = h('p.soft');
    this.all = h('button.primary.writes', { onclick: () => this.many({ state: 'dead' }) });
    this.groups = h('div.groups');
    this.none = nothing('Nothing is dead. Jobs come here when they have failed as often as they may.');
    this.append(h('div.row.title', h('h1', 'Dead letters'), this.total, h('span.grow'), this.all), this.none, this.groups);
    const again = calm(() => this.load(() => this.refresh()), 700);
    for (const name of ['jobs', 'tick']) this.on(live, name, again);
    this.load(() => this.refresh());
  }

  async refresh() {
    const { groups, total } = await get('dead');
    const wanted = this.params.get('reason');
    show(this.none, !total);
    show(this.all, total);
    fill(this.all, icon('retry'), `Retry all ${count(total)}`);
    say(this.total, total ? `${many(total, 'job')}, ${many(groups.length, 'reason')}` : '');
    follow(this.groups, groups, reasonOf, (group) => this.group(group, reasonOf(group) === wanted));
  }

  group(group, wanted) {
    const where = { state: 'dead', reason: group.reason ?? 'none', ...(group.exit_code === null ? {} : { exit_code: group.exit_code }) };
    const number = h('b');
    const newest = h('div.row');
    const retryAll = h('button.writes', { onclick: () => this.many(where) });
    const node = h('section.card.group', { 'data-wanted': wanted },
      h('div.head', h('h2', icon('dead'), visible(reasonOf(group))), number),
      newest, h('div.row', retryAll, h('a.button', { href: `#/jobs?${new URLSearchParams(where)}` }, 'Choose among them')));
    return row(node, (now) => {
      say(number, `${count(now.count)} ×`);
      fill(retryAll, icon('retry'), `Retry ${now.count === 1 ? 'it' : `all ${count(now.count)}`}`);
      const job = now.newest;
      if (node.dataset.newest === `${job.id} ${job.run}`) return;
      mark(node, 'data-newest', `${job.id} ${job.run}`);
      fill(newest, h('span.soft', 'newest'), h('a', { href: jobAddress(job.id) }, visible(job.id)), h('code.cut', oneLine(job.command)),
        time(job.updated_at), now.count > 1 && h('button.link.writes', { onclick: () => this.one(job) }, 'Retry this one'));
    });
  }

  async one(job) {
    if (await actOn(job, 'retry')) await this.load(() => this.refresh());
  }

  async many(where) {
    if (await actOnMany({ where }, 'retry')) await this.load(() => this.refresh());
  }
}

customElements.define('q-dead', Dead);
