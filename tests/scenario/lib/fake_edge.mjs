#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Stands in for portcullis-edge where the command itself is tested: serves HTTP on the sockets it is
// given, writes down what it gets, and does what <data_dir>/fake.json says:
//   exit: end at once with this status · refuse: ids answered with 400 · busy: first requests answered
//   with 503 · busy_from: 503 from this revocation on · fail_after: 500 after so many items
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const dir = process.env.PORTCULLIS_DATA_DIR;
const file = (name) => path.join(dir, name);
const note = (what) => fs.appendFileSync(file('events'), `${JSON.stringify({ pid: process.pid, ...what })}\n`);
const wish = fs.existsSync(file('fake.json')) ? JSON.parse(fs.readFileSync(file('fake.json'), 'utf8')) : {};

note({
  event: 'start',
  argv: process.argv.slice(2),
  env: process.env,
  forMe: Number(process.env.LISTEN_PID) === process.pid,
});
if (wish.exit !== undefined) process.exit(wish.exit);

let busy = wish.busy ?? 0;
let items = 0;
let revocations = 0;

function revoke(body, method) {
  const list = [JSON.parse(body)].flat();
  if (++revocations >= (wish.busy_from ?? Infinity)) return [503, { error: { code: 'OVERLOADED', message: 'later' } }];
  for (const one of list) {
    if (wish.refuse?.includes(one.id)) return [400, { error: { code: 'INVALID', message: `${one.id} is not wanted` } }];
  }
  items += list.length;
  if (wish.fail_after && items > wish.fail_after) return [500, { error: { code: 'INTERNAL', message: 'broken' } }];
  note({ event: method === 'DELETE' ? 'unrevoke' : 'revoke', list });
  return [200, { revoked: list.length }];
}

function answer(request, body) {
  const url = request.url.split('?')[0];
  if (url === '/readiness') return [200, { ready: true }];
  if (url === '/health') return [wish.sick ? 503 : 200, { status: wish.sick ? 'failing' : 'ok', journal: { durable: 7 } }];
  if (!request.headers.authorization) return [401, { error: { code: 'UNAUTHENTICATED', message: 'who are you?' } }];
  if (busy > 0) {
    busy--;
    return [503, { error: { code: 'OVERLOADED', message: 'later' } }];
  }
  if (url === '/v1/check' || url === '/v1/explain') {
    note({ event: url.slice(4), body: JSON.parse(body) });
    const allow = JSON.parse(body).token === 'good';
    const [code, status] = allow ? ['OK', 200] : ['TOKEN_REVOKED', 401];
    if (url === '/v1/explain') {
      return [200, { allow, code, status, route: 'r', shadow: null, steps: [{ step: 'token', outcome: allow ? 'pass' : 'refuse', detail: 'jti j' }] }];
    }
    const limits = [{ policy: 'ip', limit: 60, remaining: 0, reset_ms: 60000, retry_after_ms: 900 }];
    return [200, { allow, code, status, subject: 'alice', expires_at: 1700000000, limits, flags: { 'a.b': { c: 1 } }, headers: { 'X-Portcullis-Route': 'r' } }];
  }
  if (url.startsWith('/v1/revocations/')) {
    note({ event: 'get', url: request.url });
    return [200, { revoked: true, since: 1700000000 }];
  }
  if (url === '/v1/revoke') return revoke(body, request.method);
  return [404, { error: { code: 'NOT_FOUND', message: url } }];
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (bytes) => parts.push(bytes)).on('end', () => {
    const [status, value] = answer(request, Buffer.concat(parts).toString());
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
  });
});

const names = process.env.LISTEN_FDNAMES.split(':');
server.listen({ fd: 3 + names.indexOf('http') }, () => {
  fs.writeFileSync(file('listeners.json'), JSON.stringify({
    listeners: [{ name: 'http', address: server.address()?.port ? `127.0.0.1:${server.address().port}` : 'unix' }],
  }));
  note({ event: 'ready' });
});

let stops = 0;
process.on('SIGTERM', () => {
  note({ event: 'term' });
  stops++;
  if (stops > 1) process.exit(5);
  if (wish.linger) return; // until the second
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
process.on('SIGHUP', () => note({ event: 'hup' }));
