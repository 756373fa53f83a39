// SPDX-License-Identifier: Apache-2.0
// When the server cannot or may not answer: overload refuses newcomers and keeps those it has,
// maintenance refuses every decision but those of exempt routes; both say when to come back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { Sse } from './lib/sse.mjs';
import { until } from './lib/wait.mjs';
import { Http, once } from './lib/wire.mjs';

const FLAG = '/flags/maintenance.mode_enabled';

let server;
before(async () => {
  server = await Server.start({
    config: { routes: [{ name: 'status', path: '/status/*', maintenance_exempt: true }, { name: 'rest', path: '/*' }] },
  });
});
after(() => server?.stop());

const flip = async (method, body) => {
  const answer = await once(server.address('admin'), method, FLAG, { body, headers: server.bearer('operator') });
  assert.equal(answer.status, 200, answer.body);
};
const about = (path) => ({ 'X-Forwarded-Uri': path, 'X-Forwarded-Method': 'GET', 'X-Forwarded-Host': 'shop.example' });
const check = (path, token) => server.check({ token, request: { method: 'GET', host: 'shop.example', path } });

test('maintenance refuses every kind of decision, says when to come back, and spares exempt routes', async () => {
  const token = server.issuer.mint();
  const auth = (path, at = '/v1/auth') => server.auth(token, { path: at, headers: about(path) });
  assert.equal((await auth('/orders')).status, 200);
  const watcher = await Sse.open(server.address('http'), { headers: server.bearer('gateway') });
  await flip('POST', { value: true, reason: 'a test' });
  assert.equal((await watcher.event()).key, 'maintenance.mode_enabled');

  const refused = await auth('/orders');
  assert.equal(refused.status, 503);
  assert.equal(refused.json.error.code, 'MAINTENANCE');
  assert.ok(Number(refused.headers['retry-after']) > 0);
  const nginx = await auth('/orders', '/v1/auth/nginx');
  assert.equal(nginx.status, 403);
  assert.equal(nginx.headers['x-portcullis-status'], '503');
  const envoy = await auth('/orders', '/v1/auth/envoy/orders');
  assert.equal(envoy.status, 503);
  const decision = await check('/orders', token);
  assert.equal(decision.status, 200);
  assert.deepEqual([decision.json.allow, decision.json.code, decision.json.status], [false, 'MAINTENANCE', 503]);
  const resp = await server.resp();
  const asked = JSON.parse(await resp.command('PC.CHECK', JSON.stringify({ token, request: { method: 'GET', host: 'a', path: '/orders' } })));
  assert.deepEqual([asked.allow, asked.code], [false, 'MAINTENANCE']);
  resp.close();
  // Whatever is wrong with the token: nobody learns it from a service in maintenance.
  assert.equal((await check('/orders', 'nonsense')).json.code, 'MAINTENANCE');

  assert.equal((await auth('/status/now')).status, 200);
  assert.equal((await check('/status/now', token)).json.allow, true);
  assert.equal((await auth('/status/now', '/v1/auth/nginx')).status, 200);
  for (const path of ['/health', '/readiness', '/liveness', '/']) assert.equal((await server.get(path)).status, 200, path);
  assert.equal((await server.revoke({ kind: 'session', id: 'x', ttl: 5 })).status, 200);
  const metrics = (await server.get('/metrics', { headers: server.bearer('admin') })).body;
  assert.match(metrics, /^portcullis_decisions_total\{[^}]*MAINTENANCE[^}]*\} [1-9]/m);

  await flip('DELETE');
  assert.equal((await watcher.event()).value, false);
  assert.equal((await auth('/orders')).status, 200);
  watcher.close();
});

// Requests whose signatures must be verified, sent faster than one core can answer them.
class Flood {
  constructor(connections, text) {
    this.sockets = connections;
    this.answers = 0;
    for (const http of connections) {
      http.socket.removeAllListeners('data');
      http.socket.on('data', (bytes) => { this.answers += bytes.length; });
      const push = () => { while (!this.over && http.socket.write(text)); };
      http.socket.on('drain', push);
      push();
    }
  }

  stop() {
    this.over = true;
    for (const http of this.sockets) http.close();
  }
}

test('an overloaded server refuses newcomers with 503 and Retry-After, and serves those it has', async () => {
  const own = await Server.start({ config: { cores: 1, limits: { queue_delay: '1ms' }, token_cache: { failures: 64, entries: 64 } } });
  let flood;
  try {
    const old = await own.http();
    const token = own.issuer.mint();
    const ask = `GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    assert.equal((await old.send(ask).response()).status, 200);
    const bad = Array.from({ length: 300 }, () => `GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${own.issuer.mint().slice(0, -6)}AAAAAA\r\n\r\n`).join('');
    const connections = [];
    for (let i = 0; i < 16; i++) connections.push(await own.http());
    flood = new Flood(connections, bad);
    const refused = await until('a newcomer to be refused', async () => {
      const http = await Http.open(own.address('http'));
      try {
        const answer = await http.send(ask).response();
        return answer.status === 503 ? answer : null;
      } catch {
        return null; // refused before it was asked: the request met a closed connection
      } finally {
        http.close();
      }
    });
    assert.ok(Number(refused.headers['retry-after']) >= 1);
    assert.equal((await old.send(ask).response()).status, 200, 'who was there before is served');
    old.close();
  } finally {
    flood?.stop();
  }
  try {
    await until('newcomers to be served again', async () => (await own.auth(own.issuer.mint())).status === 200);
    await until('the refusals to be counted', async () => {
      const metrics = (await own.get('/metrics', { headers: own.bearer('admin') })).body;
      return /^portcullis_(shed_total|connections_refused_total\{reason="overload"\}) [1-9]/m.test(metrics);
    });
  } finally {
    await own.stop();
  }
});
