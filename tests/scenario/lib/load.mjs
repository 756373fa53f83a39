// SPDX-License-Identifier: Apache-2.0
// Load that records what was acknowledged: what a crash, a restart or a rebuild must not lose.
import { once, Resp, Http } from './wire.mjs';

// Revokes tokens through several connections until stopped; `acknowledged` holds every jti whose
// answer was read. Connections that break are reopened as long as `address()` gives one.
let next = 0;

export class Revoker {
  constructor(server, { connections = 4, protocol = 'both' } = {}) {
    this.server = server;
    this.acknowledged = [];
    this.refused = [];
    this.stopped = false;
    this.lanes = Array.from({ length: connections }, (_, i) => this.lane(protocol === 'both' ? ['http', 'resp'][i % 2] : protocol));
  }

  // Never the same twice, whatever Revoker makes it.
  id() {
    return `load-${process.pid}-${next++}`;
  }

  async lane(protocol) {
    while (!this.stopped) {
      try {
        await (protocol === 'http' ? this.overHttp() : this.overResp());
      } catch {
        // The server went away in the middle of something: what was not answered does not count.
        await new Promise((resolve) => { setImmediate(resolve); });
      }
    }
  }

  async overHttp() {
    const http = await Http.open(this.server.address('http'));
    try {
      while (!this.stopped) {
        const batch = Array.from({ length: 5 }, () => this.id());
        const answer = await http.request('POST', '/v1/revoke', {
          headers: this.server.bearer('operator'),
          body: batch.map((id) => ({ kind: 'token', id, ttl: 3600 })),
        });
        (answer.status === 200 ? this.acknowledged : this.refused).push(...batch);
      }
    } finally {
      http.close();
    }
  }

  async overResp() {
    const resp = await Resp.open(this.server.address('resp'));
    try {
      if (await resp.command('AUTH', this.server.tokens.operator) !== 'OK') return;
      while (!this.stopped) {
        const batch = Array.from({ length: 8 }, () => this.id());
        const commands = batch.map((id) => ['SET', `bl:${id}`, '1', 'EX', '3600']);
        resp.send(Buffer.concat(commands.map(Resp.encode)));
        for (const id of batch) (await resp.reply() === 'OK' ? this.acknowledged : this.refused).push(id);
      }
    } finally {
      resp.close();
    }
  }

  async stop() {
    this.stopped = true;
    await Promise.all(this.lanes);
  }
}

// Which of these jtis the server does not refuse: must be none.
export async function missing(server, ids) {
  const resp = await Resp.open(server.address('resp'));
  const lost = [];
  for (let at = 0; at < ids.length; at += 500) {
    const part = ids.slice(at, at + 500);
    const replies = await resp.pipeline(part.map((id) => ['EXISTS', `bl:${id}`]));
    lost.push(...part.filter((_, i) => replies[i] !== 1));
  }
  resp.close();
  return lost;
}

// Asks /v1/auth on new and kept connections until stopped; counts answers and failures.
export class Decider {
  constructor(server, token, { kept = 4, fresh = 2, address = () => server.address('http') } = {}) {
    this.token = token;
    this.address = address;
    this.statuses = {};
    this.errors = [];
    this.stopped = false;
    this.lanes = [...Array.from({ length: kept }, () => this.kept()), ...Array.from({ length: fresh }, () => this.fresh())];
  }

  count(status) {
    this.statuses[status] = (this.statuses[status] ?? 0) + 1;
  }

  get total() {
    return Object.values(this.statuses).reduce((a, b) => a + b, 0);
  }

  async fresh() {
    while (!this.stopped) {
      try {
        this.count((await once(this.address(), 'GET', '/v1/auth', { headers: { Authorization: `Bearer ${this.token}` } })).status);
      } catch (error) {
        this.errors.push(error);
        await new Promise((resolve) => { setImmediate(resolve); });
      }
    }
  }

  // A kept connection may be closed by the server between two requests (Connection: close is then
  // in the last answer, or the close comes before any byte of an answer): that is not a refusal.
  async kept() {
    while (!this.stopped) {
      let http;
      try {
        http = await Http.open(this.address());
        for (;;) {
          const answer = await http.request('GET', '/v1/auth', { headers: { Authorization: `Bearer ${this.token}` } });
          this.count(answer.status);
          if (this.stopped || /close/i.test(answer.headers.connection ?? '')) break;
        }
      } catch (error) {
        if (!http?.ended || http.buffer.length) this.errors.push(error);
        await new Promise((resolve) => { setImmediate(resolve); });
      } finally {
        http?.close();
      }
    }
  }

  async stop() {
    this.stopped = true;
    await Promise.all(this.lanes);
  }
}
