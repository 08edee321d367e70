// The bar at the top: where one is, how the relay does, and what can be done to it.

import { logOut, Refused } from './api.js';
import { tell } from './dialog.js';
import { attr, el, keep, show, text } from './dom.js';
import * as format from './format.js';

const byID = (id) => document.getElementById(id);

export class Header {
  constructor(page) {
    this.page = page;
    this.nav = byID('nav');
    this.live = byID('live');
    this.theme = byID('theme');
    this.operate = byID('operate');
    this.menu = byID('menu');
    this.theme.addEventListener('click', () => this.nextTheme());
    this.showTheme();
    byID('skip').addEventListener('click', () => byID('main').focus());
    this.about = el('dl', { class: 'about' });
    const act = (label, f) => el('button', { type: 'button', on: { click: () => {
      this.menu.hidePopover();
      f();
    } } }, label);
    this.out = act('Log out', () => logOut().then(() => page.live.now(), (error) => tell(error.message)));
    this.out.hidden = true;
    this.menu.append(this.about, act('Reload files', () => page.acts.reload()), act('Drain and end', () => page.acts.drain(page.status.kind)), this.out);
  }

  // place shows which view is in front.
  place(hash) {
    if (this.menu.matches(':popover-open')) this.menu.hidePopover();
    const views = [['#/', this.page.services() ? 'Services' : 'Tunnels'], ['#/users', 'Users'], ['#/ends', 'Ends'], ['#/limits', 'Limits']];
    if (!this.page.services()) views.push(['#/connect', 'Put online']);
    keep(this.nav, views, ([href]) => href, ([href]) => el('a', { href }), (link, [href, name]) => {
      text(link, name);
      attr(link, 'aria-current', href === hash ? 'page' : null);
    });
  }

  update(status, now) {
    show(this.nav, true);
    show(this.operate, true);
    text(byID('kind'), status.kind === 'forwarder' ? 'Forwarder' : 'Relay');
    const { rate } = this.page.history.total;
    text(byID('summary'), [format.plural(status.users, 'user'), format.rate(rate.received + rate.sent), status.version, `up ${format.age(new Date(status.started), now)}`].join(' · '));
    text(this.live, status.draining ? 'Draining' : 'Live');
    attr(this.live, 'data-tone', status.draining ? 'warn' : 'good');
    const started = new Date(status.started);
    attr(this.live, 'title', `${status.version}, since ${format.exact(started)}`);
    const facts = [
      ['Version', status.version],
      ['Up for', `${format.age(started, now)}, since ${format.clock(started, now)}`],
      [status.kind === 'forwarder' ? 'Relay' : 'Control', status.control],
      ['Public ports', status.ports],
      ['File', status.config ? `${status.config.file}, loaded ${format.clock(new Date(status.config.loaded), now)}${status.config.error ? ', not in force as it is now' : ''}` : ''],
      ['Lets in', status.kind === 'relay' ? (status.open ? 'everybody' : 'tokens or certificates') : ''],
    ].filter(([, value]) => value);
    keep(this.about, facts, ([name]) => name, ([name]) => el('div', null, el('dt', null, name), el('dd')), (node, [, value]) => {
      text(node.lastChild, value);
      attr(node.lastChild, 'title', value);
    });
  }

  // login hides what is only for who is logged in, who can log out again.
  login() {
    show(this.nav, false);
    show(this.operate, false);
    show(this.out, true);
    text(byID('summary'), '');
    text(this.live, 'Logged out');
    attr(this.live, 'data-tone', null);
  }

  gone(since, problem) {
    const box = byID('gone');
    show(box, Boolean(since));
    document.documentElement.classList.toggle('old', Boolean(since));
    if (!since) return;
    text(this.live, 'Not reached');
    attr(this.live, 'data-tone', 'bad');
    const what = this.page.status?.kind === 'forwarder' ? 'The forwarder' : 'The relay';
    const how = problem instanceof Refused ? `refuses this page since ${format.clock(since)}: ${problem.message}` : `cannot be reached since ${format.clock(since)}`;
    text(box, `${what} ${how.replace(/\.$/, '')}. What you see is from before. This page tries again by itself.`);
  }

  nextTheme() {
    const next = { '': 'light', light: 'dark', dark: '' }[document.documentElement.dataset.theme ?? ''];
    if (next) document.documentElement.dataset.theme = next;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem('relay-theme', next);
    } catch {
      // Without storage the theme lasts as long as the page.
    }
    this.showTheme();
    dispatchEvent(new Event('themechange'));
  }

  showTheme() {
    const theme = document.documentElement.dataset.theme ?? 'auto';
    this.theme.replaceChildren(el('span', null, 'Theme: '), theme);
    attr(this.theme, 'aria-label', `Theme: ${theme}`);
  }
}
