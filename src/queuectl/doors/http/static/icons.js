// Shapes for states, pages and buttons: a state is told by its shape and its word, and only then by its colour.

import { svg } from './dom.js';

const RING = 'M8 1.9a6.1 6.1 0 1 0 0 12.2A6.1 6.1 0 0 0 8 1.9Z';
const TURN = 'M13.4 8a5.4 5.4 0 1 1-1.7-3.9M13.6 1.8v2.9h-2.9';

// Stroked paths in a square of 16.
const PATHS = {
	pending: RING,
	processing: `${RING}M6.6 5.4v5.2l4-2.6Z`,
	completed: `${RING}M5.2 8.2l2 2 3.6-4.2`,
	failed: `${TURN}M8 5.2v3.2M8 10.7v.1`,
	dead: 'M5.3 1.9h5.4l3.4 3.4v5.4l-3.4 3.4H5.3l-3.4-3.4V5.3ZM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4',
	cancelled: `${RING}M3.7 12.3l8.6-8.6`,
	held: `${RING}M6.4 5.6v4.8M9.6 5.6v4.8`,
	later: `${RING}M8 4.4V8l2.6 1.6`,
	blocked: 'M6.6 9.4a2.6 2.6 0 0 0 3.7 0l2.3-2.3a2.6 2.6 0 0 0-3.7-3.7l-.8.8M9.4 6.6a2.6 2.6 0 0 0-3.7 0L3.4 8.9a2.6 2.6 0 0 0 3.7 3.7l.8-.8',
	warning: 'M8 2.2l6.3 11.3H1.7ZM8 6.4v3.4M8 11.7v.1',
	overview: 'M2.5 13.5v-5h3v5ZM6.5 13.5v-11h3v11ZM10.5 13.5v-8h3v8Z',
	jobs: 'M2.5 3.5h11M2.5 8h11M2.5 12.5h7',
	workers: 'M2.5 3h11v7.5h-11ZM5.5 13.5h5M8 10.5v3',
	queues: 'M2.5 2.5h11v3h-11ZM2.5 7h8v3h-8ZM2.5 11.5h5v2.5h-5Z',
	schedules: 'M2.5 3.5h11v10h-11ZM2.5 6.8h11M5.5 2v3M10.5 2v3',
	spools: 'M2 4.2V12.5h12V5.8H8L6.5 4.2Z',
	settings: 'M2 4.5h6M11 4.5h3M2 11.5h3M8 11.5h6M9.5 2.9v3.2M6.5 9.9v3.2',
	plus: 'M8 3v10M3 8h10',
	search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3l3.4 3.4',
	theme: `${RING}M8 2v12a6 6 0 0 0 0-12Z`,
	help: `${RING}M6.2 6.3a1.9 1.9 0 1 1 2.6 1.8c-.6.2-.8.6-.8 1.1M8 11.3v.1`,
	copy: 'M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3',
	retry: TURN,
	cancel: 'M4 4l8 8M12 4l-8 8',
	hold: 'M5.8 3.5v9M10.2 3.5v9',
	release: 'M4.5 2.6v10.8l8.4-5.4Z',
	edit: 'M3 13l.6-2.8L11 2.8 13.2 5 5.8 12.4ZM9.5 4.3l2.2 2.2',
	delete: 'M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.6 9h5.8l.6-9',
	download: 'M8 2.5v7.5M4.8 7.2L8 10.3l3.2-3.1M3 13.5h10',
	priority: 'M8 13V3.5M4.5 7L8 3.5 11.5 7',
};

export const icon = (name) => svg('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', { d: PATHS[name] }));

const WAITS = { time: ['scheduled', 'later'], release: ['held', 'held'], jobs: ['blocked', 'blocked'] };

/** What a job is doing, in one word: its state, or why it waits. */
export function standing({ state, waiting_for: waits }) {
	if (state === 'failed') return { word: waits === 'release' ? 'failed, held' : state, shape: state, tone: state };
	const [word, shape] = (state === 'pending' && WAITS[waits]) || [state, state];
	return { word, shape, tone: state };
}
