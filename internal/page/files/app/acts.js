// What an operator can do, each behind a dialog that says what will happen.

import { del, id, post } from './api.js';
import { confirm, field, tell } from './dialog.js';
import { el } from './dom.js';

async function run(options, done, after) {
  if (await confirm(options)) {
    tell(done);
    after();
  }
}

export class Acts {
  // after is called when something was done: what is shown is old then.
  constructor(after) {
    this.after = after;
  }

  endUser(user) {
    return run({
      title: 'End this user?',
      words: [`The connection of ${user.address || user.id} is reset. The user may connect again.`],
      verb: 'End user',
      act: () => del(`users/${id(user.id)}`),
    }, `${user.address || user.id} was ended.`, this.after);
  }

  closeTunnel(tunnel, name) {
    return run({
      title: `Close ${name}?`,
      words: [
        `Its users (${tunnel.users} now) are reset, and its lease ends.`,
        'Its relay client may register again: pause it, or revoke its token, to keep it out.',
      ],
      verb: 'Close',
      act: () => post(`tunnels/${id(tunnel.id)}/close`),
    }, `${name} was closed.`, this.after);
  }

  pause(tunnel, name) {
    return run({
      title: `Pause ${name}?`,
      words: ['New users are reset until you resume it. Those who are joined go on.'],
      verb: 'Pause',
      act: () => post(`tunnels/${id(tunnel.id)}/pause`),
    }, `${name} is paused.`, this.after);
  }

  resume(tunnel, name) {
    return run({
      title: `Resume ${name}?`,
      words: ['New users are served again.'],
      verb: 'Resume',
      danger: false,
      act: () => post(`tunnels/${id(tunnel.id)}/resume`),
    }, `${name} takes users again.`, this.after);
  }

  ban(source = '') {
    const address = el('input', { type: 'text', required: true, value: source, autocomplete: 'off', spellcheck: 'false', placeholder: '192.0.2.7 or 192.0.2.0/24' });
    const times = [['600', '10 minutes'], ['3600', '1 hour'], ['86400', '1 day'], ['604800', '7 days']];
    const time = el('select', null, ...times.map(([value, word]) => el('option', { value }, word)));
    return run({
      title: 'Ban a source?',
      words: ['It is served neither as a user nor as a relay client, and its connections are refused until the time is over.'],
      verb: 'Ban',
      fields: [field('Address or network', address), field('For', time)],
      act: () => post('bans', { source: address.value.trim(), seconds: Number(time.value) }),
    }, 'The source is banned.', this.after);
  }

  unban(source) {
    return run({
      title: `Let ${source} in again?`,
      words: ['Its connections are taken again at once.'],
      verb: 'Lift the ban',
      danger: false,
      act: () => del(`bans/${id(source)}`),
    }, `${source} is let in again.`, this.after);
  }

  reload() {
    return run({
      title: 'Read the files again?',
      words: ['The process reads the same files again as after SIGHUP. Tunnels whose token is gone are closed.'],
      verb: 'Reload',
      danger: false,
      act: () => post('reload'),
    }, 'The files were read again.', this.after);
  }

  drain(kind) {
    return run({
      title: `End this ${kind}?`,
      words: [
        'It takes no more users, waits for those who are joined, and exits, as with the first SIGTERM.',
        'This page goes with it.',
      ],
      verb: 'Drain and end',
      act: () => post('drain'),
    }, 'It drains.', this.after);
  }
}

// addressOf returns the address of an address with a port.
export function addressOf(source) {
  const bracket = source.match(/^\[(.*)\]:\d+$/);
  return bracket ? bracket[1] : source.replace(/:\d+$/, '');
}
