// Finding text in the output: matches are painted over the text, which itself is left alone.

export class Finder {
  static MOST = 2000;

  constructor(box, text, told) {
    Object.assign(this, { box, text, told, wanted: '', ranges: [], at: 0 });
  }

  get count() {
    return this.ranges.length;
  }

  look(wanted) {
    this.wanted = wanted.toLowerCase();
    this.search();
    this.at = this.ranges.length - 1; // the newest first: that is what the reader looks at
    this.paint(true);
  }

  /** The text has grown: at its end, or before what was there. */
  more(before = false) {
    if (!this.wanted || this.waiting) return;
    this.waiting = setTimeout(() => {
      this.waiting = 0;
      const had = this.ranges.length;
      this.search();
      if (before) this.at += this.ranges.length - had;
      if (before && !had) this.at = this.ranges.length - 1;
      this.paint(before && !had);
    }, before ? 0 : 300);
  }

  search() {
    this.ranges = [];
    if (!this.wanted) return;
    for (const piece of [...this.text.children].reverse()) {
      const found = this.inPiece(piece);
      this.ranges.push(...found.reverse());
      if (this.ranges.length >= Finder.MOST) break;
    }
    this.ranges.length = Math.min(this.ranges.length, Finder.MOST);
    this.ranges.reverse();
  }

  inPiece(piece) {
    const text = piece.textContent.toLowerCase();
    const found = [];
    let walker = null;
    let node = null;
    let before = 0;
    const place = (offset) => {
      while (node && offset > before + node.length) {
        before += node.length;
        node = walker.nextNode();
      }
      return [node, offset - before];
    };
    for (let i = text.indexOf(this.wanted); i >= 0; i = text.indexOf(this.wanted, i + this.wanted.length)) {
      if (!walker) {
        walker = document.createTreeWalker(piece, NodeFilter.SHOW_TEXT);
        node = walker.nextNode();
      }
      const range = new Range();
      const [first, from] = place(i);
      const [last, to] = first ? place(i + this.wanted.length) : [];
      if (!last) break; // letters that change their length in lower case: rather no match than a wrong one
      range.setStart(first, Math.min(from, first.length));
      range.setEnd(last, Math.min(to, last.length));
      found.push(range);
    }
    return found;
  }

  step(by) {
    if (!this.ranges.length) return;
    this.at = (this.at + by + this.ranges.length) % this.ranges.length;
    this.paint(true);
  }

  paint(go) {
    this.clear();
    const here = this.ranges[this.at];
    if (this.wanted && globalThis.Highlight) {
      CSS.highlights.set('found', new Highlight(...this.ranges));
      if (here) CSS.highlights.set('here', new Highlight(here));
    }
    if (go && here) this.goTo(here);
    this.told(this.wanted ? this.ranges.length : null, this.at);
  }

  goTo(range) {
    range.startContainer.parentElement.closest('.piece').scrollIntoView({ block: 'nearest' });
    const box = this.box.getBoundingClientRect();
    const { top } = range.getBoundingClientRect();
    this.box.scrollTop += top - box.top - box.height / 2;
  }

  clear() {
    globalThis.CSS?.highlights?.delete('found');
    globalThis.CSS?.highlights?.delete('here');
  }
}
