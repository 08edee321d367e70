// How to put another server online through this relay.

import { post } from '../api.js';
import { copyButton, field } from '../dialog.js';
import { el, show, text } from '../dom.js';

// What the relay leaves open in its command lines.
const itsPort = '<its port>';
const itsFile = '<file with its token>';

function command(line, label) {
  return el('div', null, label ? el('p', { class: 'commandlabel' }, label) : null,
    el('div', { class: 'command' }, el('pre', { tabindex: '0', 'aria-label': 'Command line' }, el('code', null, line)), copyButton(() => line)));
}

// commands returns the command lines that put a server online, each with a button that
// copies it, and a field for the port of that server.
export function commands(lines) {
  const encrypted = (line) => /--tls/.test(line);
  const sorted = [...lines].sort((a, b) => encrypted(b) - encrypted(a));
  const port = el('input', { type: 'text', inputmode: 'numeric', autocomplete: 'off', placeholder: 'such as 8080', class: 'portfield' });
  const box = el('div', { class: 'commands' });
  const fill = () => {
    const number = /^\d{1,5}$/.test(port.value.trim()) ? port.value.trim() : itsPort;
    box.replaceChildren(...sorted.map((line) => command(line.replace(itsPort, number),
      lines.length > 1 ? (encrypted(line) ? 'Encrypted' : 'In plain text') : '')));
  };
  port.addEventListener('input', fill);
  fill();
  return el('div', { class: 'commands' }, lines.some((line) => line.includes(itsPort)) ? field('Port of your server', port) : null, box);
}

export class ConnectView {
  constructor(page) {
    this.page = page;
    this.lines = el('div');
    this.fresh = el('div', { class: 'fresh' });
    this.open = el('p', { class: 'warnline' },
      'This relay lets in everybody who can connect to it. Start it with --tokens to decide who may put servers online.');
    this.name = el('input', { type: 'text', required: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'such as office' });
    this.problem = el('p', { class: 'problemline', role: 'alert', hidden: true });
    this.form = el('form', { class: 'row' }, field('Name of the token', this.name), el('button', { type: 'submit', class: 'primary' }, 'Make a token'));
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.make();
    });
    this.tokens = el('section', { class: 'card' },
      el('h2', null, 'With a fresh token'),
      el('p', null, 'A token is added to the tokens file under this name. Its secret is shown once, here, and is not kept.'),
      this.form, this.problem, this.fresh);
    this.node = el('div', { class: 'column' },
      el('h1', null, 'Put another server online'),
      el('section', { class: 'card' },
        el('p', null, 'Run one of these beside the server, on any machine that can connect to this relay. The tunnel appears on this page by itself.'),
        this.open, this.lines),
      this.tokens);
  }

  title() {
    return 'Put online';
  }

  paths() {
    return {};
  }

  update({ status }) {
    const lines = status.connect ?? [];
    show(this.open, Boolean(status.open));
    show(this.tokens, !status.open);
    const shown = lines.join('\n');
    if (this.shown === shown) return;
    this.shown = shown;
    this.lines.replaceChildren(commands(lines));
  }

  async make() {
    show(this.problem, false);
    try {
      const token = await post('tokens', { name: this.name.value.trim() });
      this.fresh.replaceChildren(
        el('p', { class: 'warnline' }, 'Copy it now: it is not shown again.'),
        command(`(umask 077; echo ${token.secret} > relay.token)`, 'First, where your server is: keep the secret in a file'),
        command((token.line ?? '').replace(itsFile, 'relay.token'), 'Then put the server online'));
      this.name.value = '';
    } catch (error) {
      text(this.problem, error.message);
      show(this.problem, true);
    }
  }

  // leave forgets the secret.
  leave() {
    this.fresh.replaceChildren();
  }
}
