// SPDX-License-Identifier: Apache-2.0
// Ways somebody might try to get past a route, a limit or a role, or to break an answer. Each test
// is one that got through once, or would be expensive if it did.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { once } from './lib/wire.mjs';

let server;
before(async () => {
  server = await Server.start({
    config: {
      limit_policies: [{ name: 'three', rate: '3/h', key: ['ip'] }, { name: 'login-try', rate: '3/h', key: ['subject'] }],
      routes: [
        { name: 'write', path: '/items/*', methods: ['POST', 'delete'], scopes: ['items.write'] },
        { name: 'read', path: '/items/*', authentication: 'none' },
        { name: 'counted', path: '/counted', authentication: 'none', limits: ['three'] },
        { name: 'trial', path: '/trial', shadow: true, roles: ['root'] },
      ],
    },
  });
});
after(() => server?.stop());

const forwarded = (method, uri) => once(server.address(), 'GET', '/v1/auth', {
  headers: { 'X-Forwarded-Method': method, 'X-Forwarded-Uri': uri, 'X-Forwarded-Host': 'a' },
});
const explain = (body) => once(server.address(), 'POST', '/v1/explain', { body, headers: server.bearer('viewer') });

test('a method in another case meets the same rule', async () => {
  for (const method of ['POST', 'post', 'Post', 'DELETE', 'delete']) {
    assert.equal((await forwarded(method, '/items/1')).status, 401, method);
    assert.equal((await server.check({ request: { method, path: '/items/1' } })).json.code, 'TOKEN_MISSING', method);
  }
  assert.equal((await forwarded('GET', '/items/1')).headers['x-portcullis-route'], 'read');
});

test('what passes by shadow mode only names nobody', async () => {
  const jti = 'shadowed';
  const token = server.issuer.mint({ jti, sub: 'mallory', roles: ['root'], scope: 'all' });
  const ask = async () => (await server.check({ token, request: { method: 'GET', path: '/trial' } })).json;
  assert.equal((await ask()).subject, 'mallory');
  assert.equal((await server.revoke({ kind: 'token', id: jti, ttl: 60 })).status, 200);
  const { allow, subject, session, client, roles, scopes, jti: said, headers } = await ask();
  assert.equal(allow, true);
  assert.deepEqual({ subject, session, client, roles, scopes, said }, { subject: null, session: null, client: null, roles: [], scopes: [], said: null });
  assert.equal(headers['X-Portcullis-Subject'], '');
  assert.equal(headers['X-Portcullis-Shadow'], 'TOKEN_REVOKED');
});

test('over RESP nobody charges a limit without a credential that may', async () => {
  const left = async () => (await once(server.address(), 'GET', '/v1/limits/login-try/victim', { headers: server.bearer('gateway') })).json.remaining;
  const named = JSON.stringify({ route: 'read', limits: [{ policy: 'login-try', key: 'victim', cost: 3 }] });
  const matched = JSON.stringify({ request: { method: 'GET', path: '/counted', ip: '192.0.2.7' } });
  for (const [role, refusal] of [[null, /^NOAUTH/], ['viewer', /^NOPERM/]]) {
    const resp = await server.resp('resp', role);
    for (const body of [named, matched, JSON.stringify({ route: 'counted' })]) {
      assert.match(String((await resp.command('PC.CHECK', body)).message), refusal, `${role} ${body}`);
    }
    assert.equal(JSON.parse(await resp.command('PC.CHECK', JSON.stringify({ route: 'read' }))).allow, true);
    resp.close();
  }
  assert.equal(await left(), 3);
  const resp = await server.resp('resp', 'gateway');
  assert.equal(JSON.parse(await resp.command('PC.CHECK', named)).allow, true);
  resp.close();
  assert.equal(await left(), 0);
});

test('explaining has an answer however long keys and lists are', async () => {
  const limits = Array.from({ length: 8 }, (_, i) => ({ policy: 'login-try', key: `${i}${'\u0001'.repeat(2000)}` }));
  const answer = await explain({ route: 'counted', limits });
  assert.equal(answer.status, 200, answer.body.slice(0, 200));
  assert.equal(answer.json.steps.filter((s) => s.step === 'limits').length, 8);
});

test('a flag that cannot exist is named in the refusal', async () => {
  for (const key of ['x'.repeat(200), 'a"b', 'a\r\nb', '']) {
    const answer = await server.check({ route: 'read', flags: [key] });
    assert.equal(answer.status, 400, key);
    assert.equal(answer.json.error.code, 'FLAG_KEY_INVALID');
    assert.match(answer.json.error.message, /^flags\[\]: /);
  }
  assert.deepEqual((await server.check({ route: 'read', flags: ['no.such'] })).json.flags, { 'no.such': null });
});

test('what strangers chose does not reach an operator\'s terminal as it is', async () => {
  const key = 'a\u001b]0;title\u0007\u0000\nforged row\u009b31m';
  for (let i = 0; i < 4; i++) await server.check({ route: 'read', limits: [{ policy: 'login-try', key }] });
  const top = await server.cli(['limits', 'top']);
  assert.equal(top.code, 0, top.stderr);
  assert.match(top.stdout, /a\\u001b\]0;title\\u0007\\u001a\\u000aforged row\\u009b31m/);
  const why = await server.cli(['explain', '--route', 'counted', '--host', 'x\u001b[2J']);
  for (const text of [top.stdout, why.stdout, why.stderr]) assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
});
