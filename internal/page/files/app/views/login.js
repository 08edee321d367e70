// The login, where the API wants to know who asks.

import { logIn } from '../api.js';
import { field } from '../dialog.js';
import { el, show, text } from '../dom.js';

export class LoginView {
  constructor(done) {
    const token = el('input', { type: 'password', required: true, autocomplete: 'current-password' });
    const problem = el('p', { class: 'problemline', role: 'alert', hidden: true });
    const form = el('form', { class: 'card login' },
      el('h1', null, 'Log in'),
      el('p', null, 'It is the token in the file that --adminTokenFile names.'),
      field('Admin token', token), problem,
      el('div', { class: 'buttons' }, el('button', { type: 'submit', class: 'primary' }, 'Log in')));
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      show(problem, false);
      try {
        await logIn(token.value);
        token.value = '';
        done();
      } catch (error) {
        text(problem, error.login ? 'That is not the token.' : error.message);
        show(problem, true);
        token.select();
      }
    });
    this.node = form;
    this.focus = () => token.focus();
  }
}
