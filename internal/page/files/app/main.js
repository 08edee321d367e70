// The page: which view is in front, and what the API has said last.

import { Acts } from './acts.js';
import { Header } from './header.js';
import { History } from './history.js';
import { Live } from './live.js';
import { list } from './parts.js';
import { CausesView } from './views/causes.js';
import { ConnectView } from './views/connect.js';
import { LimitsView } from './views/limits.js';
import { LoginView } from './views/login.js';
import { TunnelsView } from './views/tunnels.js';
import { TunnelView } from './views/tunnel.js';
import { UsersView } from './views/users.js';

const main = document.getElementById('main');

class Page {
  constructor() {
    this.history = new History();
    this.status = null;
    this.answers = null;
    this.time = Date.now(); // of the last sample, by the clock here
    this.ahead = 0; // how many milliseconds the relay's clock is ahead of the one here
    this.acts = new Acts(() => this.live.now());
    this.header = new Header(this);
    this.views = { '#/': new TunnelsView(this) };
    this.live = new Live({
      paths: () => this.view.paths(),
      show: (answers) => this.show(answers),
      gone: (since, problem) => this.header.gone(since, problem),
      login: () => this.login(),
    });
    this.go();
    addEventListener('hashchange', () => this.go());
    addEventListener('keydown', (event) => this.key(event));
    this.live.now();
  }

  // now returns what time it is for the relay, whose times are shown.
  now() {
    return new Date(Date.now() + this.ahead);
  }

  // services reports whether the page is of a forwarder.
  services() {
    return this.status?.kind === 'forwarder';
  }

  // go brings the view of the address to the front.
  go() {
    const hash = location.hash || '#/';
    const first = !this.view;
    this.view?.leave?.();
    if (this.view && !Object.values(this.views).includes(this.view)) this.view.close?.();
    this.view = this.find(hash);
    // What the view before has asked for is not for this one.
    if (this.answers) this.answers = { status: this.answers.status, tunnels: this.answers.tunnels };
    this.header.place(hash);
    this.put();
    if (!first) {
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
      this.live.now();
    }
  }

  find(hash) {
    const tunnel = hash.match(/^#\/tunnel\/([^/]+)(\/ends)?$/);
    if (tunnel) return new TunnelView(this, decoded(tunnel[1]), tunnel[2] ? 'ends' : 'users');
    const kinds = { '#/users': UsersView, '#/ends': CausesView, '#/limits': LimitsView, '#/connect': ConnectView };
    return kinds[hash] ? new kinds[hash](this) : this.views['#/'];
  }

  // put shows the view, with what is known already.
  put() {
    if (!this.answers) return;
    if (main.firstChild !== this.view.node) main.replaceChildren(this.view.node);
    this.view.update(this.answers);
    this.name();
  }

  name() {
    const kind = this.services() ? 'Forwarder' : 'Relay';
    const title = `${this.status.problems?.length ? '(!) ' : ''}${this.view.title()} · ${kind}`;
    if (document.title !== title) document.title = title;
  }

  show(answers) {
    answers.tunnels = list(answers.tunnels);
    const { status } = answers;
    if (this.status && this.status.started !== status.started) this.history.reset();
    // The files of another version go with its API, and not these.
    if (this.status && this.status.version !== status.version) location.reload();
    const kind = this.status?.kind;
    this.status = status;
    this.answers = answers;
    this.time = Date.now();
    this.ahead = Date.parse(status.now) - this.time || 0;
    this.history.add(this.time, status, answers.tunnels);
    this.header.update(status, this.now());
    if (kind !== status.kind) this.header.place(location.hash || '#/');
    this.put();
  }

  login() {
    this.answers = null;
    this.header.login();
    this.loginView ??= new LoginView(() => this.live.now());
    if (main.firstChild === this.loginView.node) return;
    main.replaceChildren(this.loginView.node);
    this.loginView.focus();
  }

  // key has a slash go to the search, as in many programs.
  key(event) {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input, textarea, select')) return;
    if (!this.view.input?.isConnected || document.querySelector('dialog[open]')) return;
    event.preventDefault();
    this.view.input.focus();
  }
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

new Page();
