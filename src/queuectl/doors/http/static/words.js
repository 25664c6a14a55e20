// Numbers, times and sizes as a person reads them; what is invisible or turns text around is made visible.

import { clockAhead } from './api.js';

const WHOLE = new Intl.NumberFormat('en');
const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const DATE = { day: 'numeric', month: 'short' };
const CLOCK = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
const [DAY, DAY_YEAR, HOUR, SECOND] = [DATE, { ...DATE, year: 'numeric' }, CLOCK, { ...CLOCK, second: '2-digit' }]
	.map((what) => new Intl.DateTimeFormat('en', what));

export const STATES = ['pending', 'processing', 'completed', 'failed', 'dead', 'cancelled'];

export const now = () => Date.now() + clockAhead;
export const count = (n) => (n === null || n === undefined ? '–' : WHOLE.format(n));
export const brief = (n) => (n === null || n === undefined ? '–' : n < 10_000 ? WHOLE.format(n) : SHORT.format(n));
export const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

/** 20 ms, 4.1 s, 3 min 20 s, 2 h 5 min, 3 d 4 h */
export function took(s) {
	if (s === null || s === undefined) return '–';
	if (s < 0.1) return `${Math.round(s * 1000)} ms`;
	if (s < 10) return `${s.toFixed(s < 1 ? 2 : 1)} s`;
	const whole = Math.round(s);
	const i = UNITS.findIndex(([size]) => whole >= size);
	const [[size, name], [small, smallName] = []] = UNITS.slice(i);
	const rest = small && Math.floor((whole % size) / small);
	return `${Math.floor(whole / size)} ${name}${rest ? ` ${rest} ${smallName}` : ''}`;
}

/** The same with one unit: for columns. */
export function about(s) {
	const [size, name] = UNITS.find(([least]) => s >= least) ?? [1, 's'];
	return `${Math.max(0, Math.floor(s / size))} ${name}`;
}

/** For where many stand side by side: one unit from a minute on. */
export const short = (s) => (s >= 60 ? about(s) : took(s));

const SIGNALS = { 1: 'HUP', 2: 'INT', 3: 'QUIT', 6: 'ABRT', 9: 'KILL', 11: 'SEGV', 13: 'PIPE', 14: 'ALRM', 15: 'TERM', 24: 'XCPU', 25: 'XFSZ' };

/** How something ended, in words: why, and with which status. */
export function reasonOf({ reason, exit_code: code }) {
	const status = (code ?? null) !== null && (code < 0 ? `signal ${SIGNALS[-code] ?? -code}` : `exit ${code}`);
	return [reason, status].filter(Boolean).join(', ') || 'unknown';
}

export function ago(iso) {
	const s = (now() - Date.parse(iso)) / 1000;
	if (s < -1) return `in ${about(-s)}`;
	return s < 1.5 ? 'now' : `${about(s)} ago`;
}

export function when(iso) {
	const at = new Date(iso);
	const today = new Date(now());
	if (at.toDateString() === today.toDateString()) return SECOND.format(at);
	return `${(at.getFullYear() === today.getFullYear() ? DAY : DAY_YEAR).format(at)}, ${SECOND.format(at)}`;
}

export const hour = (ms) => HOUR.format(ms);
export const day = (ms) => DAY.format(ms);

export function size(bytes) {
	const power = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
	const value = bytes / 1000 ** power;
	return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`;
}

/** Control characters and those that turn the direction of text, shown instead of obeyed. */
export function visible(text) {
	return String(text ?? '').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\u061c\u2028\u2029]/g, (sign) => {
		const code = sign.charCodeAt(0);
		return code < 32 ? String.fromCharCode(0x2400 + code) : `⟨${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
	});
}

/** Shell text on one line, for tables. */
export const oneLine = (text) => String(text ?? '').replace(/\s*\n\s*/g, ' ⏎ ');

const PLAIN = /^[A-Za-z0-9._/:=,+@%^-]+$/;

/** A word as a person would type it in a shell. */
export const quoted = (word) => (PLAIN.test(word) ? word : `'${String(word).replaceAll("'", "'\\''")}'`);
