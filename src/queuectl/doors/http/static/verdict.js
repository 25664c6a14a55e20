// Whether all is well, from what the server says of itself: the worst finding first, each with the page that tells more.

import { brief, many, now, took } from './words.js';

const RANK = { bad: 0, warn: 1, info: 2 };
const STALE = { tone: 'bad', title: 'No answer', text: 'The server does not answer; what you see is old.' };

/** {tone, shape, title, text, found}: two seconds' worth, and all findings. */
export function verdict(status, mode) {
	const found = (status?.health ?? []).map(({ level, text, see }) => ({ tone: level, text, href: `#/${see}` }))
		.sort((a, b) => RANK[a.tone] - RANK[b.tone]);
	const said = mode === 'stale' ? STALE : judged(status, found);
	const shape = { good: 'completed', warn: 'warning', bad: 'dead' }[said.tone];
	return { ...said, shape, found: mode === 'stale' || said.tone === 'good' ? [] : found };
}

function judged(status, found) {
	if (!status) return { tone: 'wait', title: ' ', text: ' ' };
	const [worst, ...others] = found.filter(({ tone }) => tone !== 'info');
	if (!worst) return { tone: 'good', title: 'All is well', text: busy(status) };
	const text = worst.text + (others.length ? ` (and ${others.length} more)` : '');
	return { ...worst, title: worst.tone === 'bad' ? 'Needs you' : 'Look at this', text };
}

function busy({ active_workers: slots, processing, pending, oldest_waiting_at: oldest }) {
	const waited = oldest ? (now() - Date.parse(oldest)) / 1000 : 0;
	const running = `${brief(processing)} running${slots ? ` on ${many(slots, 'slot')}` : ''}`;
	return `${running}, ${pending ? `${brief(pending)} waiting` : 'nothing waiting'}${waited > 60 ? `, the longest for ${took(waited)}` : ''}.`;
}
