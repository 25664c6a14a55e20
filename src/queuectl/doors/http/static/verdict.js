// Whether all is well, from what the server says of itself: the worst finding first, each with the page that tells more.

import { brief, many, now, took } from './words.js';

const RANK = { bad: 0, warn: 1, info: 2 };

/** [{tone: 'bad' | 'warn' | 'info', text, href}]; empty: all is well. */
export function findings(status) {
  const found = status.health.map(({ level, text, see }) => ({ tone: level, text, href: `#/${see}` }));
  return found.sort((a, b) => RANK[a.tone] - RANK[b.tone]);
}

/** {tone, title, text}: two seconds' worth. */
export function verdict(status, mode) {
  if (mode === 'stale') return { tone: 'bad', title: 'No answer', text: 'The server does not answer; what you see is old.' };
  if (mode === 'locked') return { tone: 'bad', title: 'Not allowed in', text: 'This page needs its one-time link.' };
  if (!status) return { tone: 'wait', title: ' ', text: ' ' };
  const [worst, ...others] = findings(status);
  if (worst && worst.tone !== 'info') {
    const more = others.filter(({ tone }) => tone !== 'info').length;
    const title = worst.tone === 'bad' ? 'Needs you' : 'Look at this';
    return { ...worst, title, text: worst.text + (more ? ` (and ${more} more)` : '') };
  }
  return { tone: 'good', title: 'All is well', text: busy(status) };
}

function busy(status) {
  const slots = status.active_workers;
  const waited = status.oldest_waiting_at ? (now() - Date.parse(status.oldest_waiting_at)) / 1000 : 0;
  const running = `${brief(status.processing)} running${slots ? ` on ${many(slots, 'slot')}` : ''}`;
  const waiting = status.pending ? `, ${brief(status.pending)} waiting` : ', nothing waiting';
  const oldest = waited > 60 ? `, the longest for ${took(waited)}` : '';
  return `${running}${waiting}${oldest}.`;
}
