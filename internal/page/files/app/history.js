// What has been seen of each tunnel since the page was opened. The API has the sums; the
// page makes rates of them.

// kept is how many samples there are: five minutes of one a second.
const kept = 300;

// smooth is over how many milliseconds a rate is the mean, so that it can be read.
const smooth = 2500;

class Series {
  constructor() {
    this.users = new Float64Array(kept).fill(NaN);
    this.received = new Float64Array(kept).fill(NaN);
    this.sent = new Float64Array(kept).fill(NaN);
    this.sums = []; // [time, received, sent], of the last few samples
    this.rate = { received: 0, sent: 0 };
    this.seen = 0;
  }

  add(slot, time, users, received, sent) {
    const sums = this.sums;
    sums.push([time, received, sent]);
    while (sums.length > 2 && time - sums[1][0] >= smooth) sums.shift();
    const [first, firstReceived, firstSent] = sums[0];
    const seconds = (time - first) / 1000;
    if (seconds > 0) {
      this.rate = {
        received: Math.max(0, (received - firstReceived) / seconds),
        sent: Math.max(0, (sent - firstSent) / seconds),
      };
      this.received[slot] = this.rate.received;
      this.sent[slot] = this.rate.sent;
    }
    this.users[slot] = users;
  }

  clear(slot) {
    this.users[slot] = this.received[slot] = this.sent[slot] = NaN;
  }
}

export class History {
  constructor() {
    this.reset();
  }

  // reset forgets everything: another process counts from 0 again.
  reset() {
    this.times = new Float64Array(kept).fill(NaN);
    this.samples = 0;
    this.total = new Series();
    this.tunnels = new Map();
  }

  // add takes a sample: of the time in milliseconds, the status, and all tunnels.
  add(time, status, tunnels) {
    const slot = this.samples % kept;
    this.samples++;
    this.times[slot] = time;
    this.total.add(slot, time, status.users, status.received, status.sent);
    for (const t of tunnels) {
      let series = this.tunnels.get(t.id);
      if (!series) this.tunnels.set(t.id, (series = new Series()));
      series.seen = this.samples;
      series.add(slot, time, t.users, t.received, t.sent);
    }
    for (const [id, series] of this.tunnels) {
      if (series.seen === this.samples) continue;
      series.clear(slot);
      if (this.samples - series.seen > kept) this.tunnels.delete(id);
    }
  }

  rate(id) {
    return this.tunnels.get(id)?.rate ?? { received: 0, sent: 0 };
  }

  // age returns for how many milliseconds there are samples.
  age(now) {
    const oldest = this.times[this.samples > kept ? this.samples % kept : 0];
    return Number.isNaN(oldest) ? 0 : now - oldest;
  }

  // slots calls f with each slot since a time, the oldest first.
  slots(since, f) {
    for (let i = Math.max(0, this.samples - kept); i < this.samples; i++) {
      const slot = i % kept;
      if (this.times[slot] >= since) f(slot, this.times[slot]);
    }
  }
}
