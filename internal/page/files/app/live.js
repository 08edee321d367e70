// The page is live: it asks the API again and again, shows what has changed, and says so
// when nobody answers.

import { get, Refused } from './api.js';

// rest is how many milliseconds there are between two samples, and least those between
// two updates of the page, when an act or another view asks for one at once.
const rest = 1000;
const least = 250;

export class Live {
  // paths returns what the view in front wants beside status and tunnels: an object of
  // paths. show is called with the answers by the same names, gone with the time since
  // when nobody answers, and login when the API wants to know who asks.
  constructor({ paths, show, gone, login }) {
    Object.assign(this, { paths, show, gone, login });
    this.last = -Infinity;
    this.took = 0;
    this.since = null;
    this.timer = 0;
    this.asking = false;
    this.again = false;
    this.out = false;
    document.addEventListener('visibilitychange', () => this.now());
  }

  // now asks at once, or as soon as the page may change again.
  now() {
    if (this.asking) this.again = true;
    else this.plan(Math.max(0, this.last + least - performance.now()));
  }

  plan(wait) {
    clearTimeout(this.timer);
    // Nobody looks at a page that is hidden. It asks again when it is seen.
    if (!document.hidden) this.timer = setTimeout(() => this.round(), wait);
  }

  async round() {
    this.asking = true;
    this.again = false;
    this.last = performance.now();
    const answers = await this.ask();
    this.asking = false;
    this.took = performance.now() - this.last;
    // Another view is in front by now, or what is known is old, if it has to ask again.
    try {
      if (answers && !this.again) this.show(answers);
    } finally {
      if (this.again) this.now();
      // A relay whose answers are long is asked less often: three quarters of the time are
      // its own. Somebody who has to log in asks by that.
      else if (!this.out) this.plan(Math.max(rest - this.took, this.took * 3));
    }
  }

  // ask returns the answers, or null if there are none.
  async ask() {
    this.out = false;
    try {
      const answers = await fetchAll({ status: 'status', tunnels: 'tunnels', ...this.paths() });
      this.found();
      return answers;
    } catch (problem) {
      this.out = problem instanceof Refused && problem.login;
      if (this.out) {
        this.found();
        this.login();
      } else {
        this.since ??= new Date();
        this.gone(this.since, problem);
      }
      return null;
    }
  }

  found() {
    if (!this.since) return;
    this.since = null;
    this.gone(null);
  }
}

async function fetchAll(wanted) {
  const names = Object.keys(wanted);
  const results = await Promise.allSettled(names.map((name) => get(wanted[name])));
  const answers = {};
  results.forEach((result, i) => {
    const name = names[i];
    if (result.status === 'fulfilled') {
      answers[name] = result.value;
      return;
    }
    // What a view wants may be over by now. Without the rest there is nothing to show.
    const mild = result.reason instanceof Refused && !result.reason.login && name !== 'status' && name !== 'tunnels';
    if (!mild) throw result.reason;
    answers[name] = null;
  });
  return answers;
}
