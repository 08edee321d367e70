// Dialogs: nothing is done to anybody before the operator has confirmed it.

import { el, show, text } from './dom.js';

// confirm shows a dialog, and does what the operator confirms: act is called with the
// fields, and the dialog stays, with what went wrong, if it fails. It returns a promise of
// whether it was done.
export function confirm({ title, words, verb, danger = true, fields = [], act }) {
  return new Promise((resolve) => {
    const problem = el('p', { class: 'problemline', role: 'alert', hidden: true });
    const yes = el('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, verb);
    const no = el('button', { type: 'button', on: { click: () => dialog.close() } }, 'Cancel');
    const form = el('form', { method: 'dialog' },
      el('h2', { id: 'dialogtitle' }, title),
      ...words.map((line) => el('p', null, line)),
      ...fields, problem, el('div', { class: 'buttons' }, no, yes));
    const dialog = el('dialog', { 'aria-labelledby': 'dialogtitle' }, form);
    let done = false;
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      yes.disabled = true;
      try {
        await act();
        done = true;
        dialog.close();
      } catch (error) {
        text(problem, error.message);
        show(problem, true);
        yes.disabled = false;
      }
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    // With nothing to fill in, Enter alone does no harm.
    (fields.length ? form.querySelector('input, select') : no).focus();
  });
}

export function field(label, input) {
  return el('label', { class: 'field' }, el('span', null, label), input);
}

let fading = 0;

// tell says in a corner, and to screen readers, what was done.
export function tell(words) {
  const toast = document.getElementById('toast');
  text(toast, '');
  text(toast, words);
  toast.classList.add('on');
  clearTimeout(fading);
  fading = setTimeout(() => toast.classList.remove('on'), 6000);
}

// copyButton returns a button that copies what what() returns.
export function copyButton(what, label = 'Copy') {
  const button = el('button', { type: 'button', class: 'copy' }, label);
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(what());
      tell('Copied.');
    } catch {
      tell('The browser does not let this page copy. Select the text, and copy it yourself.');
    }
  });
  return button;
}
