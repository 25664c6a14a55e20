// Finding text in the output: matches are painted over the text, which itself is left alone.

const GROWN_MS = 300; // so long after the text has grown it is searched again

export class Finder {
	static MOST = 2000;
	wanted = '';
	ranges = [];
	at = 0;

	constructor(box, text, told) {
		Object.assign(this, { box, text, told });
	}

	get count() {
		return this.ranges.length;
	}

	look(wanted) {
		this.wanted = wanted.toLowerCase();
		this.search();
		this.at = this.count - 1; // the newest first: that is what the reader looks at
		this.paint(true);
	}

	/** The text has grown: at its end, or before what was there. */
	more(before = false) {
		if (!this.wanted || this.waiting) return;
		this.waiting = setTimeout(() => {
			this.waiting = 0;
			const had = this.count;
			this.search();
			if (before) this.at += this.count - had;
			this.paint(before && !had);
		}, before ? 0 : GROWN_MS);
	}

	search() {
		this.ranges = [];
		const pieces = this.wanted ? [...this.text.children] : [];
		while (pieces.length && this.count < Finder.MOST) this.ranges.unshift(...this.inPiece(pieces.pop()));
		this.ranges.splice(0, this.count - Finder.MOST);
	}

	inPiece(piece) {
		const { wanted } = this;
		const text = piece.textContent.toLowerCase();
		const found = [];
		const walker = document.createTreeWalker(piece, NodeFilter.SHOW_TEXT);
		let node = walker.nextNode();
		let before = 0; // characters before the node
		const place = (offset) => {
			for (; node && offset > before + node.length; node = walker.nextNode()) before += node.length;
			return [node, offset - before];
		};
		for (let i = text.indexOf(wanted); i >= 0; i = text.indexOf(wanted, i + wanted.length)) {
			const first = place(i);
			const last = place(i + wanted.length);
			if (!last[0]) break; // letters that change their length in lower case: rather no match than a wrong one
			const range = new Range();
			range.setStart(...first);
			range.setEnd(...last);
			found.push(range);
		}
		return found;
	}

	step(by) {
		if (!this.count) return;
		this.at = (this.at + by + this.count) % this.count;
		this.paint(true);
	}

	paint(go) {
		this.clear();
		const here = this.ranges[this.at];
		if (here && globalThis.Highlight) {
			CSS.highlights.set('found', new Highlight(...this.ranges));
			CSS.highlights.set('here', new Highlight(here));
		}
		if (go && here) this.goTo(here);
		this.told(this.wanted ? this.count : null, this.at);
	}

	goTo(range) {
		range.startContainer.parentElement.closest('.piece').scrollIntoView({ block: 'nearest' });
		const { top } = range.getBoundingClientRect();
		this.box.scrollTop += top - this.box.getBoundingClientRect().top - this.box.clientHeight / 2;
	}

	clear() {
		for (const name of ['found', 'here']) globalThis.CSS?.highlights?.delete(name);
	}
}
