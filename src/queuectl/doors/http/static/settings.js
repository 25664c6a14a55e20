// Settings: what each means, what it is, what it would be by itself. And where this queue lives.

import { get, patch } from './api.js';
import { fill, h, mark, say, View } from './dom.js';
import { live } from './live.js';
import { cells, complain, table, tell } from './parts.js';
import { visible } from './words.js';

const COLUMNS = ['Setting', 'Value', 'Default', 'Meaning'];

class Settings extends View {
  start() {
    this.rows = h('tbody');
    this.place = h('dl.facts');
    this.append(h('h1', 'Settings'), h('section.card', table(COLUMNS, this.rows)),
    h('section.card', h('h2', 'This queue'), this.place));
    this.on(live, 'status', () => this.showPlace());
    this.showPlace();
    this.load(async () => fill(this.rows, (await get('config')).settings.map((setting) => this.row(setting))));
  }

  row({ name, value, default: usual, meaning }) {
    const shown = (it) => (it === null ? '' : Array.isArray(it) ? it.join(', ') : String(it));
    const input = h('input', { 'aria-label': name, readonly: live.readOnly, value: shown(value), autocomplete: 'off', spellcheck: 'false' });
    const save = h('button.primary', { type: 'submit', hidden: true, form: `set-${name}` }, 'Save');
    const made = cells(COLUMNS);
    const form = h('form.row.setting', { id: `set-${name}` }, input, save);
    const node = h('tr', made);
    [name, form, shown(usual), meaning].forEach((content, i) => made[i].append(content));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.save(name, input, save, node);
    });
    input.addEventListener('input', () => { save.hidden = input.value === shown(value); });
    mark(node, 'data-changed', shown(value) !== shown(usual));
    return node;
  }

  async save(name, input, save, node) {
    try {
      const { settings } = await patch('config', { [name]: input.value });
      node.replaceWith(this.row(settings.find((setting) => setting.name === name)));
      tell(`${name} is set`);
    } catch (problem) {
      complain(problem);
      input.focus();
    }
  }

  showPlace() {
    const status = live.status ?? {};
    const facts = [['Store', status.store], ['Store id', status.store_id], ['Version', status.version],
      ['Actions', live.readOnly ? 'none: this page only reads' : 'allowed']];
    const said = JSON.stringify(facts);
    if (this.place.dataset.said === said) return;
    mark(this.place, 'data-said', said);
    fill(this.place, facts.filter(([, value]) => value).map(([name, value]) => h('div', h('dt', name), say(h('dd'), visible(value)))));
  }
}

customElements.define('q-settings', Settings);
