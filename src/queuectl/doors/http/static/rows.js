// Rows that are walked with j and k, opened with Enter and chosen with x; by mouse the same.

import { mark } from './dom.js';

export class Rows {
  ids = new Map(); // number of a chosen job → its id
  at = null; // number of the job that the keys are at
  whole = false; // every job of the filter is chosen, not only what is on the page

  constructor(body, { open, changed }) {
    this.body = body;
    this.open = open;
    this.changed = changed;
  }

  get size() {
    return this.ids.size;
  }

  chosen() {
    return [...this.ids.values()];
  }

  node(number) {
    return [...this.body.children].find((node) => node.job?.number === number);
  }

  choose(node, yes) {
    if (yes) this.ids.set(node.job.number, node.job.id);
    else this.ids.delete(node.job.number);
    this.whole = false;
    this.refreshed();
    this.changed();
  }

  chooseAll(yes) {
    for (const node of this.body.children) {
      if (yes) this.ids.set(node.job.number, node.job.id);
      else this.ids.delete(node.job.number);
    }
    this.whole = false;
    this.refreshed();
    this.changed();
  }

  chooseWhole(yes) {
    this.whole = yes;
    this.changed();
  }

  forget() {
    this.ids.clear();
    this.whole = false;
    this.at = null;
    this.refreshed();
    this.changed();
  }

  /** After the rows have changed: what is no longer on the page is no longer chosen, so that nobody acts on the unseen. */
  refreshed() {
    const shown = new Set([...this.body.children].map((node) => node.job?.number));
    for (const number of this.ids.keys()) if (!shown.has(number)) this.ids.delete(number);
    if (!shown.has(this.at)) this.at = null;
    for (const node of this.body.children) {
      node.choice.checked = this.ids.has(node.job?.number);
      mark(node, 'data-chosen', this.ids.has(node.job?.number));
      mark(node, 'data-at', this.at !== null && node.job?.number === this.at);
    }
  }

  clicked(node, event) {
    if (event.target.closest('a, button, input, label') || getSelection().toString()) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    this.open(node.job.id);
  }

  key(event) {
    const nodes = [...this.body.children];
    const i = nodes.findIndex((node) => node.job?.number === this.at);
    const node = nodes[i];
    const step = { j: 1, k: -1 }[event.key];
    if (step) this.move(nodes[Math.max(0, Math.min(nodes.length - 1, i < 0 ? 0 : i + step))]);
    else if (event.key === 'Enter' && node && !event.target.closest('a, button')) this.open(node.job.id);
    else if (event.key === 'x' && node) this.choose(node, !this.ids.has(node.job.number));
    else if (event.key === 'Escape') this.forget();
    else return false;
    return true;
  }

  /** The focus goes along, so that a screen reader reads the row and Tab goes on from it. */
  move(node) {
    if (!node) return;
    this.at = node.job.number;
    this.refreshed();
    const link = node.querySelector('a');
    link?.focus({ preventScroll: true });
    node.scrollIntoView({ block: 'nearest' });
  }
}
