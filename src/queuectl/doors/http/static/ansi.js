// Terminal output as text with styles: colours are kept, everything else that a terminal would obey is dropped.

import { visible } from './words.js';

const SEQUENCE = /\u001b(?:\[([0-9;:<=>?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[PX^_][^\u001b]*\u001b\\|[ -/]*[0-~])/g;
const UNFINISHED = /\u001b(?:\[[0-9;:<=>?]*[ -/]*|[\]PX^_][^\u0007\u001b]{0,4000}\u001b?|[ -/]*)?$/;
const PLAIN = { fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false };
const SWITCHES = {
  1: { bold: true }, 2: { dim: true }, 3: { italic: true }, 4: { underline: true }, 7: { inverse: true }, 9: { strike: true },
  22: { bold: false, dim: false }, 23: { italic: false }, 24: { underline: false }, 27: { inverse: false }, 29: { strike: false },
  39: { fg: null }, 49: { bg: null },
};

/** A line as a terminal leaves it: what a carriage return goes back over is written over; backspaces take away. */
function settled(text) {
  if (!/[\r\b]/.test(text)) return text;
  return text.replace(/\r+\n/g, '\n').replace(/\r+$/, '').replace(/[^\n]*\r(?=[^\n])/g, '').replace(/[^\b\n]\x08/g, '');
}

/** The colour of a number from 0 to 255: the first sixteen are the theme's, the others are what every terminal agrees on. */
function colour(n) {
  if (n < 16) return n;
  if (n > 231) return `rgb(${Array(3).fill(8 + (n - 232) * 10)})`;
  const part = (size) => [0, 95, 135, 175, 215, 255][Math.floor((n - 16) / size) % 6];
  return `rgb(${[part(36), part(6), part(1)]})`;
}

/** Turns pieces of output into parts {text, style}, style null for plain text; what a piece breaks off waits for the next. */
export class Ansi {
  style = PLAIN;
  rest = '';

  parts(piece) {
    let text = this.rest + piece;
    const broken = UNFINISHED.exec(text);
    this.rest = broken ? broken[0] : '';
    if (broken) text = text.slice(0, broken.index);
    const found = [];
    let at = 0;
    for (const match of text.matchAll(SEQUENCE)) {
      this.put(found, text.slice(at, match.index));
      at = match.index + match[0].length;
      if (match[2] === 'm') this.style = this.changed(match[1]);
    }
    this.put(found, text.slice(at));
    return found;
  }

  put(found, text) {
    const shown = visible(settled(text));
    if (shown) found.push({ text: shown, style: this.style === PLAIN ? null : this.style });
  }

  changed(codes) {
    const numbers = codes.split(/[;:]/).map(Number);
    let style = { ...this.style };
    while (numbers.length) {
      const code = numbers.shift();
      if (!code) style = { ...PLAIN };
      else if (code in SWITCHES) Object.assign(style, SWITCHES[code]);
      else if (code === 38 || code === 48) style[code === 38 ? 'fg' : 'bg'] = this.extended(numbers);
      else if (code >= 30 && code <= 37) style.fg = code - 30;
      else if (code >= 40 && code <= 47) style.bg = code - 40;
      else if (code >= 90 && code <= 97) style.fg = code - 82;
      else if (code >= 100 && code <= 107) style.bg = code - 92;
    }
    return Object.entries(PLAIN).every(([name, value]) => style[name] === value) ? PLAIN : style;
  }

  extended(numbers) {
    const kind = numbers.shift();
    if (kind === 5) return colour(Math.min(255, numbers.shift() || 0));
    if (kind === 2) return `rgb(${numbers.splice(0, 3).map((n) => Math.min(255, n || 0))})`;
    return null;
  }
}

/** A node for a part: text is text, whatever it holds; colours are set as properties, never as text of a style. */
export function node({ text, style }) {
  if (!style) return document.createTextNode(text);
  const made = document.createElement('span');
  made.textContent = text;
  const [fg, bg] = style.inverse ? [style.bg ?? 'ground', style.fg ?? 'ink'] : [style.fg, style.bg];
  const classes = ['bold', 'dim', 'italic', 'underline', 'strike'].filter((name) => style[name]);
  paint(made, classes, 'color', 'f', fg);
  paint(made, classes, 'backgroundColor', 'b', bg);
  made.className = classes.join(' ');
  return made;
}

function paint(made, classes, property, letter, value) {
  if (value === null) return;
  if (typeof value === 'string' && value.startsWith('rgb')) made.style[property] = value;
  else classes.push(`${letter}-${value}`);
}
