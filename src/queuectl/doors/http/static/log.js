// A job's output, live. However long it is, the page holds pieces of it: a piece is a few nodes, those out of sight are not laid out.

import { Ansi, node } from './ansi.js';
import { address, bytes, jobPath } from './api.js';
import { fill, h, mark, say, show } from './dom.js';
import { icon } from './icons.js';
import { Finder } from './log_find.js';
import { choices } from './parts.js';
import { size } from './words.js';

const FIRST = 256 * 1024; // read of the end at first
const MORE = 1024 * 1024; // read of what is before, each time
const PIECE = 24 * 1024; // characters of a piece
const KEEP = 48 * 1024 * 1024; // bytes on the page; beyond that the oldest go

class Log extends HTMLElement {
  connectedCallback() {
    this.life = new AbortController();
    this.wrap = true;
    this.following = true;
    this.build();
  }

  disconnectedCallback() {
    this.life.abort();
    this.stop();
    this.finder.clear();
  }

  build() {
    this.runs = h('select', { 'aria-label': 'Which run', hidden: true, onchange: () => this.open(this.job, this.chosen()) });
    this.find = h('input', { type: 'search', placeholder: 'find in the output', 'aria-label': 'Find in the output' });
    this.found = h('span.soft', { role: 'status' });
    const button = (shape, label, work) => h('button.quiet', { title: label, 'aria-label': label, onclick: work }, icon(shape));
    this.buttons = {
      follow: h('button', { 'aria-pressed': 'true', onclick: () => this.follow(!this.following) }, 'Follow'),
      wrap: h('button', { 'aria-pressed': 'true', onclick: () => this.setWrap(!this.wrap) }, 'Wrap'),
    };
    this.save = h('a.button', { download: '' }, icon('download'), 'Download');
    this.box = h('div.output', { role: 'log', 'aria-label': 'Output', 'aria-live': 'off', tabindex: 0 });
    this.before = h('button.before', { hidden: true, onclick: () => this.earlier() });
    this.text = h('div.text.wrap');
    this.foot = h('p.foot.soft', { role: 'status' });
    this.append(h('div.row.tools', this.runs, h('span.find', icon('search'), this.find),
      button('up', 'Previous match', () => this.finder.step(-1)), button('down', 'Next match', () => this.finder.step(1)), this.found,
      h('span.grow'), this.buttons.follow, this.buttons.wrap, this.save), this.box, this.foot);
    this.box.append(this.before, this.text);
    this.box.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.finder = new Finder(this.box, this.text, (n, at) => this.showFound(n, at));
    this.find.addEventListener('input', () => this.finder.look(this.find.value));
    this.find.addEventListener('keydown', (event) => this.findKey(event));
  }

  chosen() {
    const [run, stream] = this.runs.value.split(' ');
    return { run: run || null, stream: stream || null };
  }

  /** Which parts of the output there are to choose from: runs, and stderr where it is kept apart. */
  offer(runs, apart) {
    const options = [['', 'All runs'], ...runs.map((run) => [`${run}`, `Run ${run}`])];
    if (apart) options.push([' err', 'Standard error']);
    const listed = JSON.stringify(options);
    if (this.runs.dataset.listed === listed) return;
    this.runs.dataset.listed = listed;
    const before = this.runs.value;
    fill(this.runs, choices(options, before));
    show(this.runs, options.length > 2);
  }

  // ---------------------------------------------------------- reading

  async open(job, which = {}) {
    this.stop();
    this.job = job;
    this.which = which;
    this.path = jobPath(job.id, '/log');
    this.opened = new AbortController();
    Object.assign(this, { start: 0, end: 0, decoder: new TextDecoder(), ansi: new Ansi(), held: 0 });
    fill(this.text);
    this.save.href = address(this.path, { ...which, download: 1 });
    const { signal } = this.opened;
    try {
      const read = job.run ? await bytes(this.path, which, `-${FIRST}`, signal) : { bytes: new Uint8Array(), start: 0 };
      this.start = read.start;
      this.end = read.start + read.bytes.length;
      const cut = read.start ? read.bytes.indexOf(10) + 1 : 0;
      this.start += cut;
      this.add(read.bytes.subarray(cut));
      this.showBefore();
      this.toEnd();
      if (!which.run && !which.stream) this.listen();
    } catch (problem) {
      if (!signal.aborted) say(this.foot, problem.line ?? problem.message);
    }
  }

  /** What is written from now on. The stream ends when the job has ended; opened again when it runs again. */
  listen() {
    this.stream?.close();
    const stream = new EventSource(address(`${this.path}/stream`, { offset: this.end }));
    this.stream = stream;
    stream.addEventListener('output', (event) => {
      const { offset, base64 } = JSON.parse(event.data);
      const more = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
      const known = this.end - offset;
      if (known >= more.length) return;
      this.end = offset + more.length;
      this.add(more.subarray(Math.max(0, known)));
    });
    stream.addEventListener('end', () => {
      stream.close();
      this.listening = false;
      this.showFoot();
    });
    this.listening = true;
    this.showFoot();
  }

  stop() {
    this.opened?.abort();
    this.stream?.close();
    this.listening = false;
  }

  add(more) {
    if (!more.length) {
      this.showFoot();
      return;
    }
    this.held += more.length;
    const atEnd = this.following;
    this.write(whole(this.decoder.decode(more, { stream: true })));
    if (this.held > KEEP && atEnd) this.forget();
    if (atEnd) this.toEnd();
    this.finder.more();
    this.showFoot();
  }

  write(text) {
    for (const part of this.ansi.parts(text)) {
      for (let at = 0; at < part.text.length;) {
        let last = this.text.lastElementChild;
        if (!last || last.full) this.text.append(last = piece());
        const room = Math.max(1, PIECE - last.length);
        let end = at + room;
        if (end < part.text.length) {
          const newline = part.text.indexOf('\n', end);
          end = newline < 0 || newline - end > PIECE ? end : newline + 1;
        } else end = part.text.length;
        const taken = part.text.slice(at, end);
        last.append(node({ text: taken, style: part.style }));
        last.length += taken.length;
        last.full = last.length >= PIECE && taken.endsWith('\n');
        if (last.length >= PIECE * 2) last.full = true;
        at = end;
      }
    }
  }

  /** Reads what is before what is shown, leaving what the reader looks at where it is. */
  async earlier() {
    if (this.reading || !this.start) return;
    this.reading = true;
    const { signal } = this.opened;
    try {
      const from = Math.max(0, this.start - MORE);
      const read = await bytes(this.path, this.which, `${from}-${this.start - 1}`, signal);
      const cut = from ? read.bytes.indexOf(10) + 1 : 0;
      this.prepend(whole(new TextDecoder().decode(read.bytes.subarray(cut))));
      this.held += read.bytes.length;
      this.start = from + cut;
      this.showBefore();
      this.finder.more(true);
    } catch (problem) {
      if (!signal.aborted) say(this.foot, problem.line ?? problem.message);
    } finally {
      this.reading = false;
    }
  }

  prepend(text) {
    const { text: shown, ansi } = this;
    const below = this.box.scrollHeight - this.box.scrollTop;
    const made = h('div');
    Object.assign(this, { text: made, ansi: new Ansi() });
    this.write(text);
    Object.assign(this, { text: shown, ansi });
    if (made.lastElementChild) made.lastElementChild.full = true;
    shown.prepend(...made.children);
    this.box.scrollTop = this.box.scrollHeight - below;
  }

  forget() {
    while (this.held > KEEP && this.text.children.length > 8) {
      const oldest = this.text.firstElementChild;
      this.held -= oldest.length;
      this.start += oldest.length;
      oldest.remove();
    }
    this.showBefore();
  }

  // ---------------------------------------------------------- showing

  showBefore() {
    show(this.before, this.start > 0);
    if (this.start > 0) say(this.before, `Show what is before: ${size(this.start)}`);
  }

  showFoot() {
    const state = this.listening ? 'still being written' : 'complete';
    say(this.foot, this.end ? `${size(this.end)}, ${state}` : this.listening ? 'No output yet.' : 'It wrote nothing.');
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  follow(yes) {
    this.following = yes;
    mark(this.buttons.follow, 'aria-pressed', String(yes));
    if (yes) this.toEnd();
  }

  setWrap(yes) {
    this.wrap = yes;
    mark(this.buttons.wrap, 'aria-pressed', String(yes));
    this.text.classList.toggle('wrap', yes);
    if (this.following) this.toEnd();
  }

  /** Scrolling up stops following, coming to the end follows again; at the top what is before comes. */
  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const atEnd = scrollHeight - scrollTop - clientHeight < 24;
    const up = scrollTop < (this.wasAt ?? 0) - 4;
    this.wasAt = scrollTop;
    if (atEnd !== this.following && (atEnd || up)) {
      this.following = atEnd;
      mark(this.buttons.follow, 'aria-pressed', String(atEnd));
    }
    if (scrollTop < 200 && up) this.earlier();
  }

  // ---------------------------------------------------------- finding

  findKey(event) {
    if (event.key === 'Enter') {
      event.preventDefault();
      this.finder.step(event.shiftKey ? -1 : 1);
    } else if (event.key === 'Escape' && this.find.value) {
      this.find.value = '';
      this.finder.look('');
      event.stopPropagation();
    }
  }

  showFound(n, at) {
    if (n === null) {
      fill(this.found);
      return;
    }
    this.follow(false);
    const all = this.start > 0 && this.held < KEEP && h('button.link', { onclick: () => this.findBefore() }, `look in ${size(this.start)} before`);
    fill(this.found, n ? `${at + 1} of ${n}${n >= Finder.MOST ? '+' : ''} ` : 'not found ', all);
  }

  async findBefore() {
    const before = this.finder.count;
    while (this.start > 0 && this.held < KEEP && this.finder.count === before && this.isConnected) {
      const { start } = this;
      await this.earlier();
      if (this.start === start) return;
    }
  }
}

/** What was cut out of a log reads as a run of zeros. */
const whole = (text) => text.replace(/\0{64,}/g, (zeros) => `\n[${size(zeros.length)} were cut out here]\n`);

function piece() {
  const made = h('div.piece');
  made.length = 0;
  return made;
}

customElements.define('q-log', Log);
