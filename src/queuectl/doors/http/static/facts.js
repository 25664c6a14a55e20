// What is known of a job, as a list of names and values; values that are not there are left out.

import { follow, h, mark, row, say } from './dom.js';
import { took, visible, when } from './words.js';

const at = (iso) => iso && when(iso);
const duration = (s) => (s === null || s === undefined ? null : took(s));

// One row per fact: name, what it says of a job, where it leads.
const FACTS = [
  ['Added', (job) => at(job.created_at)],
  ['Not before', (job) => (job.next_run_at ?? job.run_at) && at(job.next_run_at ?? job.run_at)],
  ['Started', (job) => at(job.started_at)],
  ['Ended', (job) => at(job.finished_at)],
  ['Took', (job) => duration(job.duration_seconds)],
  ['Exit status', (job) => job.exit_code],
  ['Reason', (job) => job.reason],
  ['Runs charged', (job) => `${job.attempts} of at most ${job.max_retries + 1}`],
  ['Interrupted', (job) => job.interruptions || null],
  ['Queue', (job) => job.queue, (job) => `#/jobs?queue=${encodeURIComponent(job.queue)}`],
  ['Priority', (job) => job.priority],
  ['Time limit', (job) => (job.timeout === 0 ? 'none' : duration(job.timeout))],
  ['Label', (job) => job.label, (job) => `#/jobs?label=${encodeURIComponent(job.label)}`],
  ['Key', (job) => job.key],
  ['Limited by', (job) => job.limit_key],
  ['Needs', (job) => [job.needs].flat().filter(Boolean).join(', ') || null],
  ['Waits for', (job) => (job.after ?? []).join(', ') || null],
  ['Folder', (job) => job.cwd],
  ['Log file', (job) => job.log_file],
  ['Number', (job) => job.number],
];

export function facts(list, job) {
  const known = FACTS.map(([name, tells, leads]) => ({ name, value: tells(job), href: leads?.(job) }))
    .filter(({ value }) => value !== null && value !== undefined && value !== '');
  follow(list, known, ({ name }) => name, ({ name, href }) => {
    const value = href ? h('a') : h('span');
    return row(h('div', h('dt', name), h('dd', value)), (fact) => {
      say(value, visible(fact.value));
      if (fact.href) mark(value, 'href', fact.href);
    });
  });
}
