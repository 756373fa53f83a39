// SPDX-License-Identifier: Apache-2.0
// Revocations of every kind by HTTP, RESP and command: what they refuse, and how they are undone.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { untilClock } from './lib/wait.mjs';
import { Http } from './lib/wire.mjs';

let server;
let issuer;
before(async () => {
  server = await Server.start({ issuers: 2 });
  issuer = server.issuers[0];
});
after(() => server?.stop());

const iss = () => ({ issuer: issuer.name });
const status = async (token) => (await server.auth(token)).status;
const revoke = async (body, options) => {
  const answer = await server.revoke(body, options);
  assert.equal(answer.status, 200, answer.body);
  return answer.json;
};
const clear = async (body) => {
  const answer = await server.unrevoke(body);
  assert.equal(answer.status, 200, answer.body);
  return answer.json;
};

// Each: claims of a covered token, of one that is not covered, and the identity.
let counter = 0;
const unique = () => `id-${process.pid}-${counter++}`;
const ABSOLUTE = {
  token: (id) => [{ jti: id }, { jti: `${id}x` }],
  session: (id) => [{ sid: id }, { sid: `${id}x` }],
  family: (id) => [{ fam: id }, { fam: `${id}x` }],
};
const CUTOFF = {
  subject: (id) => [{ sub: id }, { sub: `${id}x` }],
  client: (id) => [{ client_id: id }, { client_id: `${id}x` }],
};

for (const [kind, claims] of Object.entries(ABSOLUTE)) {
  test(`${kind}: refuses what it covers and nothing else; un-revoked it is allowed again`, async () => {
    const id = unique();
    const [covered, free] = claims(id).map((c) => issuer.mint(c));
    assert.equal(await status(covered), 200);
    await revoke({ kind, ...iss(), id, ttl: 3600, reason: 'test' });
    const answer = await server.auth(covered);
    assert.equal(answer.status, 401);
    assert.equal(answer.json.error.code, `${kind.toUpperCase()}_REVOKED`);
    assert.equal(await status(issuer.mint(claims(id)[0])), 401, 'also a token issued later');
    assert.equal(await status(free), 200);
    await clear({ kind, ...iss(), id });
    assert.equal(await status(covered), 200);
    await revoke({ kind, ...iss(), id, ttl: 3600 });
    assert.equal(await status(covered), 401, 'a newer revocation holds');
  });
}

for (const [kind, claims] of Object.entries(CUTOFF)) {
  test(`${kind}: refuses tokens issued up to now, allows later ones`, async () => {
    const id = unique();
    const [covered, free] = claims(id).map((c) => issuer.mint(c));
    assert.equal(await status(covered), 200);
    await revoke({ kind, ...iss(), id });
    assert.equal(await status(covered), 401);
    assert.equal(await status(free), 200);
    const second = Math.floor(Date.now() / 1000);
    assert.equal(await status(issuer.mint({ ...claims(id)[0], iat: second, exp: second + 60 })), 401, 'a whole second counts as its beginning');
    await untilClock((second + 2) * 1000);
    assert.equal(await status(issuer.mint(claims(id)[0])), 200, 'issued after the cutoff');
    await clear({ kind, ...iss(), id });
    assert.equal(await status(covered), 200);
  });
}

test('cutoffs: a missing iat is before every cutoff; a far future iat is refused for itself', async () => {
  const own = await Server.start({ issuer: { max_token_lifetime: '0' } });
  try {
    const sub = unique();
    const token = own.issuer.mint({ sub, iat: undefined });
    const before = await own.auth(token);
    assert.equal((await own.revoke({ kind: 'subject', id: sub })).status, 200);
    assert.equal((await own.auth(token)).status, 401);
    assert.ok([200, 401].includes(before.status));
    const second = Math.floor(Date.now() / 1000);
    assert.equal((await own.auth(own.issuer.mint({ sub, iat: second + 5000, exp: second + 6000 }))).status, 401);
  } finally {
    await own.stop();
  }
});

test('cutoffs: iat_ms is believed only where configured, and only if it agrees with iat', async () => {
  const own = await Server.start({ issuer: { trust_iat_ms: true } });
  try {
    const sub = unique();
    const at = (ms) => own.issuer.mint({ sub, iat: Math.floor(ms / 1000), iat_ms: ms, exp: Math.floor(ms / 1000) + 600 });
    const old = at(Date.now());
    assert.equal((await own.revoke({ kind: 'subject', id: sub })).status, 200);
    const cutoff = Date.now();
    assert.equal((await own.auth(old)).status, 401);
    await untilClock(cutoff + 2);
    assert.equal((await own.auth(at(Date.now()))).status, 200, 'milliseconds decide within the second');
    const second = Math.floor(cutoff / 1000);
    const liar = own.issuer.mint({ sub, iat: second - 10, iat_ms: cutoff + 5000, exp: second + 600 });
    assert.equal((await own.auth(liar)).status, 401, 'an iat_ms that contradicts iat is not believed');
  } finally {
    await own.stop();
  }
});

test('cutoffs include the issuer\'s clock skew', async () => {
  const own = await Server.start({ issuer: { clock_skew: '5s' } });
  try {
    const sub = unique();
    assert.equal((await own.revoke({ kind: 'subject', id: sub })).status, 200);
    const second = Math.floor(Date.now() / 1000) + 2;
    assert.equal((await own.auth(own.issuer.mint({ sub, iat: second, exp: second + 60 }))).status, 401);
  } finally {
    await own.stop();
  }
});

test('key: no token of it is accepted again, whatever its iat, and no reload brings it back', async () => {
  const own = await Server.start({ issuer: { algorithms: ['EdDSA'] } });
  try {
    const bad = own.issuer.addKey('EdDSA', 'second');
    own.signal('SIGHUP');
    await reloaded(own, bad);
    const { thumbprint } = bad;
    const answer = await own.revoke({ kind: 'key', issuer: own.issuer.name, id: thumbprint });
    assert.equal(answer.status, 200, answer.body);
    const signed = own.issuer.mint({}, { key: bad });
    assert.equal((await own.auth(signed)).status, 401);
    assert.equal((await own.auth(own.issuer.mint())).status, 200, 'the other key stays');
    own.issuer.addKey('EdDSA', 'third');
    own.signal('SIGHUP');
    await reloaded(own, own.issuer.keys[2]);
    assert.equal((await own.auth(signed)).status, 401, 'after a reload of the JWKS');
    const renamed = { ...bad, kid: 'renamed', jwk: { ...bad.jwk, kid: 'renamed' } };
    own.issuer.keys.push(renamed);
    own.issuer.write();
    own.signal('SIGHUP');
    own.issuer.addKey('EdDSA', 'fourth');
    await reloaded(own, own.issuer.keys.at(-1));
    assert.equal((await own.auth(own.issuer.mint({}, { key: renamed }))).status, 401, 'under another kid');
    await own.restart();
    assert.equal((await own.auth(signed)).status, 401, 'after a restart');
    const ttl = await own.revoke({ kind: 'key', issuer: own.issuer.name, id: thumbprint, ttl: 60 });
    assert.equal(ttl.status, 400, 'a key has no ttl');
  } finally {
    await own.stop();
  }
});

async function reloaded(own, key) {
  const { until } = await import('./lib/wait.mjs');
  await until('the new key to be in use', async () => (await own.auth(own.issuer.mint({}, { key }))).status === 200);
}

test('issuer: absolute, or a cutoff; all: a cutoff', async () => {
  const own = await Server.start({ issuers: 2 });
  try {
    const [one, two] = own.issuers;
    const [a, b] = [one.mint(), two.mint()];
    assert.equal((await own.revoke({ kind: 'issuer', issuer: one.name })).status, 200);
    assert.equal((await own.auth(a)).status, 401);
    assert.equal((await own.auth(b)).status, 200);
    assert.equal((await own.revoke({ kind: 'issuer', issuer: one.name, ttl: 60 })).status, 400, 'an absolute issuer has no ttl');
    assert.equal((await own.unrevoke({ kind: 'issuer', issuer: one.name })).status, 200);
    assert.equal((await own.auth(a)).status, 200);
    assert.equal((await own.revoke({ kind: 'issuer', issuer: one.name, cutoff: true })).status, 200);
    assert.equal((await own.auth(a)).status, 401);
    assert.equal((await own.auth(b)).status, 200);
    const then = Math.floor(Date.now() / 1000);
    await untilClock((then + 2) * 1000);
    const later = one.mint();
    assert.equal((await own.auth(later)).status, 200, 'issued after the cutoff of its issuer');
    assert.equal((await own.revoke({ kind: 'all' })).status, 200);
    assert.equal((await own.auth(later)).status, 401);
    assert.equal((await own.auth(a)).status, 401);
    assert.equal((await own.auth(b)).status, 401);
    const second = Math.floor(Date.now() / 1000);
    await untilClock((second + 2) * 1000);
    assert.equal((await own.auth(two.mint())).status, 200);
  } finally {
    await own.stop();
  }
});

test('"*" is explicit; no issuer is refused where several are configured', async () => {
  const sub = unique();
  const tokens = server.issuers.map((one) => one.mint({ sub }));
  assert.equal((await server.revoke({ kind: 'subject', id: sub })).status, 400);
  await revoke({ kind: 'subject', issuer: '*', id: sub });
  for (const token of tokens) assert.equal(await status(token), 401);
});

test('ids are scoped by issuer', async () => {
  const jti = unique();
  const [one, two] = server.issuers.map((i) => i.mint({ jti }));
  await revoke({ kind: 'token', ...iss(), id: jti, ttl: 600 });
  assert.equal(await status(one), 401);
  assert.equal(await status(two), 200);
});

test('{"token": …} revokes that token; a signature of another encoding does not help', async () => {
  const token = issuer.mint();
  await revoke({ token });
  assert.equal(await status(token), 401);
  for (const body of [{ token: issuer.mint(), ttl: 60 }, { ttl: 60, token: issuer.mint() }, { token: issuer.mint(), reason: 'x' }]) await revoke(body);
  const again = issuer.sign(JSON.parse(Buffer.from(token.split('.')[1], 'base64url')), { header: { typ: 'at+jwt' } });
  assert.equal(await status(again), 401, 'identity is issuer + jti, never the bytes');
  const forged = await server.revoke({ token: `${token.slice(0, -4)}AAAA` });
  assert.ok(forged.status >= 400, 'a token that does not verify cannot be revoked by its bytes');
});

test('batches: an array is all there or refused whole', async () => {
  const ids = Array.from({ length: 500 }, unique);
  await revoke(ids.map((id) => ({ kind: 'token', ...iss(), id, ttl: 600 })));
  const http = await server.http();
  for (const jti of ids) {
    assert.equal((await http.request('GET', '/v1/auth', { headers: { Authorization: `Bearer ${issuer.mint({ jti })}` } })).status, 401);
  }
  http.close();
  const good = unique();
  const mixed = await server.revoke([{ kind: 'token', ...iss(), id: good, ttl: 600 }, { kind: 'nonsense', id: 'x' }]);
  assert.equal(mixed.status, 400);
  assert.equal(await status(issuer.mint({ jti: good })), 200);
});

test('role gateway may revoke tokens, no more, and take nothing back', async () => {
  for (const [kind, want] of [['token', 200], ['session', 403], ['family', 403], ['subject', 403], ['client', 403]]) {
    const answer = await server.revoke({ kind, ...iss(), id: unique() }, { role: 'gateway' });
    assert.equal(answer.status, want, kind);
  }
  for (const kind of ['issuer', 'all']) {
    assert.equal((await server.revoke(kind === 'all' ? { kind } : { kind, ...iss() }, { role: 'gateway' })).status, 403, kind);
  }
  assert.equal((await server.unrevoke({ kind: 'token', ...iss(), id: unique() }, { role: 'gateway' })).status, 403);
});

test('bad revocations are 400 and say what is wrong', async () => {
  const bad = [
    {}, { kind: 'token' }, { kind: 'nonsense', id: 'x' }, { kind: 'token', id: '' }, { kind: 'token', id: 1 },
    { kind: 'token', id: 'x', ttl: -1 }, { kind: 'token', id: 'x', ttl: 0 }, { kind: 'token', id: 'x', ttl: 'soon' },
    { kind: 'token', id: 'x', ttl: 60, expires_at: 1 }, { kind: 'token', id: 'x'.repeat(10000), ttl: 60 },
    { kind: 'token', issuer: 'https://nobody.test', id: 'x', ttl: 60 }, { kind: 'token', id: 'x', ttl: 60, surprise: true },
    [], [[]], 'x', '{"kind":"token","kind":"all"}',
  ];
  for (const body of bad) {
    const given = body.kind === 'token' && body.issuer === undefined ? { ...body, ...iss() } : body;
    const answer = await server.revoke(given);
    assert.equal(answer.status, 400, JSON.stringify(given).slice(0, 80));
    assert.ok(answer.json.error.message);
  }
});

test('GET /v1/revocations tells state, since and expiry', async () => {
  const id = unique();
  const http = await server.http();
  const look = (extra = '') => http.request('GET', `/v1/revocations/token/${id}?issuer=${encodeURIComponent(issuer.name)}${extra}`, { headers: server.bearer('operator') });
  const before = await look();
  assert.ok(before.status === 404 || before.json.revoked === false, before.body);
  const began = Date.now();
  await revoke({ kind: 'token', ...iss(), id, ttl: 3600 });
  const { status: code, json } = await look();
  assert.equal(code, 200);
  assert.equal(json.revoked, true);
  const time = (value) => (typeof value === 'number' ? (value < 1e11 ? value * 1000 : value) : Date.parse(value));
  assert.ok(Math.abs(time(json.revoked_at ?? json.since) - began) < 5000);
  assert.ok(Math.abs(time(json.expires_at) - began - 3600_000) < 5000);
  await clear({ kind: 'token', ...iss(), id });
  const cleared = await look();
  assert.ok(cleared.status === 404 || cleared.json.revoked === false, cleared.body);
  http.close();
});

test('a revocation ends at its expiry, and not before', async () => {
  const jti = unique();
  const token = issuer.mint({ jti });
  const began = Date.now();
  await revoke({ kind: 'token', ...iss(), id: jti, expires_at: Math.floor(began / 1000) + 2 });
  const http = await server.http();
  const look = async () => (await http.request('GET', '/v1/auth', { headers: { Authorization: `Bearer ${token}` } })).status;
  const end = (Math.floor(began / 1000) + 2) * 1000;
  for (;;) {
    const sent = Date.now();
    const seen = await look();
    if (Date.now() < end) assert.equal(seen, 401);
    if (sent > end + 50) {
      assert.equal(seen, 200);
      break;
    }
  }
  http.close();
});

test('a shorter expiry never shortens a longer one', async () => {
  const jti = unique();
  await revoke({ kind: 'token', ...iss(), id: jti, ttl: 3600 });
  await revoke({ kind: 'token', ...iss(), id: jti, ttl: 1 });
  await untilClock(Date.now() + 1500);
  assert.equal(await status(issuer.mint({ jti })), 401);
});

test('what was revoked by HTTP is refused by RESP and the other way round', async () => {
  const own = await Server.start();
  try {
    const [a, b] = [unique(), unique()];
    const resp = await own.resp();
    assert.equal((await own.revoke({ kind: 'token', id: a, ttl: 60 })).status, 200);
    assert.equal(await resp.command('EXISTS', `bl:${a}`), 1);
    assert.equal(await resp.command('SET', `bl:${b}`, '1', 'EX', '60'), 'OK');
    assert.equal((await own.auth(own.issuer.mint({ jti: b }))).status, 401);
    assert.equal(await resp.command('DEL', `bl:${b}`), 1);
    assert.equal((await own.auth(own.issuer.mint({ jti: b }))).status, 200);
    resp.close();
  } finally {
    await own.stop();
  }
});

test('by command: revoke, check, un-revoke', async () => {
  const jti = unique();
  const token = issuer.mint({ jti });
  const check = async () => (await server.cli(['check', token])).code;
  assert.equal(await check(), 0);
  const done = await server.cli(['revoke', 'token', jti, '--issuer', issuer.name, '--ttl', '10m']);
  assert.equal(done.code, 0, done.stderr);
  assert.equal(await status(token), 401);
  assert.notEqual(await check(), 0);
  const undone = await server.cli(['revoke', '--undo', 'token', jti, '--issuer', issuer.name]);
  assert.equal(undone.code, 0, undone.stderr);
  assert.equal(await status(token), 200);
});

test('NDJSON import: every line counts, bad lines are named, it can be resumed', async () => {
  const ids = Array.from({ length: 20000 }, (_, i) => `import-${process.pid}-${i}`);
  const file = path.join(server.dir, 'import.ndjson');
  fs.writeFileSync(file, ids.map((id) => JSON.stringify({ kind: 'token', ...iss(), id, ttl: 3600 })).join('\n') + '\n');
  const done = await server.cli(['revoke', '--import', file]);
  assert.equal(done.code, 0, done.stderr);
  const http = await server.http();
  for (const i of [0, 1, 9999, 19999, ...Array.from({ length: 50 }, (_, n) => n * 397)]) {
    const answer = await http.request('GET', '/v1/auth', { headers: { Authorization: `Bearer ${issuer.mint({ jti: ids[i] })}` } });
    assert.equal(answer.status, 401, ids[i]);
  }
  http.close();
  fs.writeFileSync(file, `${JSON.stringify({ kind: 'token', ...iss(), id: unique(), ttl: 60 })}\n{"kind":"nonsense"}\n`);
  const bad = await server.cli(['revoke', '--import', file]);
  assert.notEqual(bad.code, 0);
  assert.match(bad.stdout + bad.stderr, /line 2|:2/);
});

test('restarting keeps every revocation and every un-revoke', async () => {
  const own = await Server.start();
  try {
    const kept = own.issuer.claims({ sid: unique(), sub: unique() });
    const back = own.issuer.claims({ sub: unique() });
    for (const claims of [kept, back]) assert.equal((await own.revoke({ kind: 'token', id: claims.jti, ttl: 600 })).status, 200);
    assert.equal((await own.unrevoke({ kind: 'token', id: back.jti })).status, 200);
    const session = own.issuer.claims({ sid: unique() });
    assert.equal((await own.revoke({ kind: 'session', id: session.sid, ttl: 600 })).status, 200);
    const subject = own.issuer.claims({ sub: unique() });
    assert.equal((await own.revoke({ kind: 'subject', id: subject.sub })).status, 200);
    for (const how of ['restart', 'kill']) {
      if (how === 'kill') { await own.kill(); await own.start(); } else await own.restart();
      for (const [claims, want] of [[kept, 401], [back, 200], [session, 401], [subject, 401]]) {
        assert.equal((await own.auth(own.issuer.sign(claims))).status, want, how);
      }
    }
  } finally {
    await own.stop();
  }
});

test('an answer on one connection holds on every other connection at once', async () => {
  const connections = await Promise.all(Array.from({ length: 32 }, (_, i) => Http.open(server.address(i % 2 ? 'http' : 'http-unix'))));
  for (let round = 0; round < 20; round++) {
    const claims = issuer.claims();
    const headers = { Authorization: `Bearer ${issuer.sign(claims)}` };
    for (const http of connections) assert.equal((await http.request('GET', '/v1/auth', { headers })).status, 200);
    await revoke({ kind: 'token', ...iss(), id: claims.jti, ttl: 60 });
    const seen = await Promise.all(connections.map((http) => http.request('GET', '/v1/auth', { headers })));
    assert.deepEqual([...new Set(seen.map((s) => s.status))], [401]);
  }
  for (const http of connections) http.close();
});
