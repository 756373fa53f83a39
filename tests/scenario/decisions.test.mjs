// SPDX-License-Identifier: Apache-2.0
// The decision: /v1/auth, /v1/auth/nginx and POST /v1/check, every algorithm, every refusal.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, test } from 'node:test';
import { Issuer } from './lib/issuer.mjs';
import { Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';
import { once } from './lib/wire.mjs';

const IDENTITY = ['subject', 'client', 'session', 'token-id', 'issuer', 'scopes', 'roles'];
const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];

let server;
let issuer;
let other;
before(async () => {
  server = await Server.start({
    issuers: (dir) => [
      new Issuer('https://issuer0.test', `${dir}/jwks0.json`, ['EdDSA', 'ES256', 'ES384', 'RS256']),
      new Issuer('https://issuer1.test', `${dir}/jwks1.json`, ['EdDSA']),
    ],
  });
  [issuer, other] = server.issuers;
});
after(() => server?.stop());

const unixNow = () => Math.floor(Date.now() / 1000);

async function refused(token, code, { status = 401, error = 'invalid_token' } = {}) {
  const answer = await server.auth(token);
  assert.equal(answer.status, status, answer.body);
  assert.equal(answer.json.error.code, code);
  if (status === 401) {
    assert.match(answer.headers['www-authenticate'], /^Bearer/);
    if (error) assert.match(answer.headers['www-authenticate'], new RegExp(`error="${error}"`));
  }
  const check = (await server.check({ token })).json;
  assert.equal(check.allow, false);
  assert.equal(check.code, code);
  assert.equal(check.status, status);
}

test('a valid token is allowed with every identity header', async () => {
  const claims = issuer.claims({ sub: 'alice', client_id: 'app', sid: 'session-1', scope: 'read write', roles: ['user', 'editor'] });
  for (const path of ['/v1/auth', '/v1/auth/nginx']) {
    const { status, headers } = await server.auth(issuer.sign(claims), { path });
    assert.equal(status, 200);
    const want = ['alice', 'app', 'session-1', claims.jti, issuer.name, 'read write'];
    for (const [i, value] of want.entries()) assert.equal(headers[`x-portcullis-${IDENTITY[i]}`], value);
    assert.deepEqual(headers['x-portcullis-roles'].split(/[ ,]+/), ['user', 'editor']);
  }
});

test('every allow carries every identity header, empty when absent', async () => {
  for (const path of ['/v1/auth', '/v1/auth/nginx']) {
    for (let i = 0; i < 2; i++) { // verified, then from the cache
      const { status, headers } = await server.auth(issuer.mint({ sub: 'bob' }), { path });
      assert.equal(status, 200);
      for (const name of IDENTITY) assert.equal(typeof headers[`x-portcullis-${name}`], 'string', name);
      for (const name of ['client', 'session', 'scopes', 'roles']) assert.equal(headers[`x-portcullis-${name}`], '', name);
    }
  }
});

test('identity headers sent by the client never come back', async () => {
  const token = issuer.mint({ sub: 'bob' });
  const { headers } = await server.auth(token, { headers: { 'X-Portcullis-Roles': 'admin', 'X-Portcullis-Subject': 'root' } });
  assert.equal(headers['x-portcullis-roles'], '');
  assert.equal(headers['x-portcullis-subject'], 'bob');
});

test('a claim that could split a header is refused or cleaned, never forwarded raw', async () => {
  const answer = await server.auth(issuer.mint({ sub: 'a\r\nX-Portcullis-Roles: admin' }));
  if (answer.status === 200) assert.notEqual(answer.headers['x-portcullis-roles'], 'admin');
  else assert.equal(answer.status, 401);
});

test('POST /v1/check answers the schema', async () => {
  const claims = issuer.claims({ sub: 'alice', client_id: 'app', sid: 's', scope: 'read write', roles: ['user'] });
  const { status, json } = await server.check({ token: issuer.sign(claims), request: { method: 'GET', host: 'a', path: '/x', headers: {}, ip: '192.0.2.1' } });
  assert.equal(status, 200);
  assert.equal(json.allow, true);
  assert.equal(json.status, 200);
  assert.deepEqual([json.subject, json.client, json.session, json.jti], ['alice', 'app', 's', claims.jti]);
  assert.deepEqual(json.scopes, ['read', 'write']);
  assert.deepEqual(json.roles, ['user']);
  assert.ok(json.expires_at);
  assert.equal(typeof json.headers, 'object');
});

test('POST /v1/check refuses what is not configured, and bodies that are none', async () => {
  const token = issuer.mint();
  for (const body of [{ token, limits: [{ policy: 'p', key: 'k', cost: 1 }] }, { token, route: 'r' }]) {
    const { status, json } = await server.check(body);
    assert.ok(status >= 400 && status < 500, `${status}`);
    assert.match(json.error.code, /NOT_CONFIGURED|UNKNOWN|INVALID/);
  }
  for (const body of ['', '{', '[]', '"x"', '{"token":1}', '{"token":"a","token":"b"}', `{"token":${'['.repeat(200)}${']'.repeat(200)}}`]) {
    const { status, json } = await server.check(body);
    assert.equal(status, 400, body.slice(0, 40));
    assert.equal(typeof json.error.code, 'string');
  }
});

test('no credential is 401 without an error attribute, as RFC 6750 says', async () => {
  for (const path of ['/v1/auth', '/v1/auth/nginx']) {
    const answer = await server.get(path);
    assert.equal(answer.status, 401);
    assert.match(answer.headers['www-authenticate'], /^Bearer/);
    assert.doesNotMatch(answer.headers['www-authenticate'], /error=/);
  }
});

test('other schemes and malformed Authorization fields are 401', async () => {
  for (const value of ['Basic YTpi', 'Bearer', 'Bearer ', `Bearer ${issuer.mint()} x`, issuer.mint()]) {
    const answer = await once(server.address(), 'GET', '/v1/auth', { headers: { Authorization: value } });
    assert.ok([400, 401].includes(answer.status), value.slice(0, 20));
  }
});

test('the scheme is matched in any case', async () => {
  const token = issuer.mint();
  for (const scheme of ['bearer', 'BEARER']) {
    const answer = await once(server.address(), 'GET', '/v1/auth', { headers: { Authorization: `${scheme} ${token}` } });
    assert.equal(answer.status, 200);
  }
});

test('an ambiguous original path is refused, whoever asks', async () => {
  const token = issuer.mint();
  for (const name of ['X-Original-URI', 'X-Original-URL', 'X-Forwarded-Uri']) {
    assert.equal((await server.auth(token, { headers: { [name]: '/a/b?x=%2f' } })).status, 200, name);
    for (const path of ['/a/%2e%2e%2fadmin', '/a%5cb', '/a/..%00', '/%252e%252e/x', '/../x']) {
      assert.equal((await server.auth(token, { headers: { [name]: path } })).status, 400, `${name}: ${path}`);
      const nginx = await server.auth(token, { path: '/v1/auth/nginx', headers: { [name]: path } });
      assert.equal(nginx.status, 403, 'nginx knows 401 and 403 only');
      assert.equal(nginx.headers['x-portcullis-status'], '400');
    }
  }
});

test('any method is decided: gateways pass the client\'s on', async () => {
  const headers = { Authorization: `Bearer ${issuer.mint()}` };
  for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'PROPFIND']) {
    assert.equal((await once(server.address(), method, '/v1/auth', { headers })).status, 200, method);
  }
});

for (const alg of ALGORITHMS) {
  test(`${alg} is verified; a flipped bit of the signature is not`, async () => {
    const own = await Server.start({
      issuers: (dir) => {
        const base = new Issuer('https://one.test', `${dir}/jwks.json`, [/^[RP]S/.test(alg) ? 'RS256' : alg]);
        base.keys[0].alg = alg;
        base.keys[0].jwk.alg = alg;
        base.write();
        return [base];
      },
    });
    try {
      const token = own.issuer.mint();
      assert.equal((await own.auth(token)).status, 200);
      const [head, body, sig] = token.split('.');
      const bytes = Buffer.from(sig, 'base64url');
      bytes[bytes.length >> 1] ^= 1;
      const bad = await own.auth(`${head}.${body}.${bytes.toString('base64url')}`);
      assert.equal(bad.status, 401);
      assert.equal(bad.json.error.code, 'TOKEN_SIGNATURE_INVALID');
    } finally {
      await own.stop();
    }
  });
}

test('HS256: only by explicit opt-in, and a public key is never a secret', async () => {
  const key = issuer.keys[3];
  const pem = crypto.createPublicKey(key.private).export({ type: 'spki', format: 'pem' });
  const head = Buffer.from(JSON.stringify({ alg: 'HS256', kid: key.kid })).toString('base64url');
  const data = `${head}.${Buffer.from(JSON.stringify(issuer.claims())).toString('base64url')}`;
  for (const secret of [pem, key.jwk.n, JSON.stringify(key.jwk)]) {
    const token = `${data}.${crypto.createHmac('sha256', secret).update(data).digest('base64url')}`;
    assert.equal((await server.auth(token)).status, 401);
  }
});

const twist = (token, change) => {
  const [head, body, sig] = token.split('.');
  return change(head, body, sig);
};
const encode = (text) => Buffer.from(text).toString('base64url');

test('malformed tokens: TOKEN_MALFORMED', async () => {
  const token = issuer.mint();
  const bad = [
    'x', 'a.b', 'a.b.c', `${token}.x`, `.${token}`,
    twist(token, (h, b, s) => `${h}=.${b}.${s}`),
    twist(token, (h, b, s) => `${h}.${b}.${s}=`),
    twist(token, (h, b, s) => `${h}.${b}.${s.slice(0, -1)}${s.endsWith('A') ? 'B' : 'A'}`).replace(/(.*)\.(.*)$/, (all) => `${all}!`),
    twist(token, (h, b, s) => `${encode('[]')}.${b}.${s}`),
    twist(token, (h, b, s) => `${encode('{"alg":"EdDSA","alg":"EdDSA"}')}.${b}.${s}`),
  ];
  for (const text of bad) {
    const answer = await server.auth(text);
    assert.equal(answer.status, 401, text.slice(0, 60));
    assert.equal(answer.json.error.code, 'TOKEN_MALFORMED', text.slice(0, 60));
  }
});

test('duplicate claims and claims of the wrong type are refused though the signature is good', async () => {
  const raw = (text) => {
    const data = `${encode(JSON.stringify({ alg: 'EdDSA', kid: issuer.keys[0].kid }))}.${encode(text)}`;
    return `${data}.${crypto.sign(null, Buffer.from(data), issuer.keys[0].private).toString('base64url')}`;
  };
  const { iss, iat, exp } = issuer.claims();
  for (const text of [
    `{"iss":"${iss}","iss":"${iss}","sub":"a","iat":${iat},"exp":${exp}}`,
    `{"iss":"${iss}","sub":1,"iat":${iat},"exp":${exp}}`,
    `{"iss":"${iss}","sub":"a","iat":"${iat}","exp":${exp}}`,
    `{"iss":"${iss}","sub":"a","iat":${iat},"exp":1e400}`,
    `{"iss":"${iss}","sub":"a\\ud800","iat":${iat},"exp":${exp}}`,
  ]) assert.equal((await server.auth(raw(text))).status, 401, text);
});

test('every refusal has its own code', async () => {
  const now = unixNow();
  await refused(issuer.mint({ iat: now - 100, exp: now - 10 }), 'TOKEN_EXPIRED');
  await refused(issuer.mint({ nbf: now + 100 }), 'TOKEN_NOT_YET_VALID');
  await refused(other.sign(issuer.claims(), { header: { kid: issuer.keys[0].kid } }), 'TOKEN_SIGNATURE_INVALID');
  await refused(issuer.mint({ iss: 'https://nobody.test' }), 'TOKEN_ISSUER_UNKNOWN');
  await refused(twist(issuer.mint(), (h, b, s) => `${encode('{"alg":"none"}')}.${b}.`), 'TOKEN_ALGORITHM');
});

test('every refusal has its own code: claims and headers', async () => {
  const now = unixNow();
  await refused(issuer.mint({ exp: undefined }), 'TOKEN_CLAIM_MISSING');
  await refused(issuer.mint({ iat: undefined }), 'TOKEN_CLAIM_MISSING');
  await refused(issuer.mint({ iat: now, exp: now + 25 * 3600 }), 'TOKEN_LIFETIME');
  await refused(issuer.mint({ iat: now + 1000, exp: now + 2000 }), 'TOKEN_ISSUED_IN_FUTURE');
  await refused(issuer.mint({}, { header: { crit: ['x'], x: 1 } }), 'TOKEN_CRITICAL');
  await refused(issuer.mint({}, { header: { kid: 'nobody' } }), 'TOKEN_KEY_UNKNOWN');
  await refused(issuer.mint({}, { header: { alg: 'HS256' } }), 'TOKEN_ALGORITHM');
});

test('the key decides the algorithm, and a kid is looked up within its issuer only', async () => {
  for (const token of [issuer.mint({}, { header: { alg: 'ES256' } }), issuer.mint({}, { key: issuer.keys[1], header: { kid: issuer.keys[0].kid } }),
    other.sign(issuer.claims()), other.sign(issuer.claims(), { header: { kid: undefined } })]) {
    const answer = await server.auth(token);
    assert.equal(answer.status, 401);
    assert.match(answer.json.error.code, /^TOKEN_(KEY_UNKNOWN|ALGORITHM|SIGNATURE_INVALID)$/);
  }
});

test('a token above 8 KiB is refused', async () => {
  const answer = await server.auth(issuer.mint({ junk: 'x'.repeat(9000) }));
  assert.ok([401, 431].includes(answer.status));
});

test('an ECDSA signature in DER form is refused', async () => {
  const key = issuer.keys[1];
  const data = `${encode(JSON.stringify({ alg: 'ES256', kid: key.kid }))}.${encode(JSON.stringify(issuer.claims()))}`;
  const der = crypto.sign('sha256', Buffer.from(data), key.private).toString('base64url');
  assert.equal((await server.auth(`${data}.${der}`)).status, 401);
});

test('audience, typ, jti and sid are required where the issuer says so', async () => {
  const own = await Server.start({ issuer: { audiences: ['api'], typ: ['at+jwt'], require_jti: true, require_sid: true } });
  try {
    const good = { aud: ['x', 'api'], sid: 's' };
    const at = { header: { typ: 'at+jwt' } };
    const status = async (claims, options) => (await own.auth(own.issuer.mint(claims, options))).status;
    assert.equal(await status(good, at), 200);
    assert.equal(await status({ ...good, aud: 'api' }, at), 200);
    assert.equal(await status(good, { header: { typ: 'application/at+jwt' } }), 200);
    for (const [claims, options] of [[{ sid: 's' }, at], [{ ...good, aud: 'other' }, at], [{ ...good, aud: [] }, at],
      [{ ...good, jti: undefined }, at], [{ ...good, sid: undefined }, at], [good, { header: { typ: 'JWT' } }], [good, { header: { typ: undefined } }]]) {
      assert.equal(await status(claims, options), 401, JSON.stringify([claims, options]));
    }
    const audience = await own.auth(own.issuer.mint({ ...good, aud: 'other' }, at));
    assert.equal(audience.json.error.code, 'TOKEN_AUDIENCE');
  } finally {
    await own.stop();
  }
});

test('clock skew is honoured on both ends', async () => {
  const own = await Server.start({ issuer: { clock_skew: '10s' } });
  try {
    const now = unixNow();
    const status = async (claims) => (await own.auth(own.issuer.mint(claims))).status;
    assert.equal(await status({ iat: now - 60, exp: now - 4 }), 200);
    assert.equal(await status({ iat: now - 60, exp: now - 30 }), 401);
    assert.equal(await status({ nbf: now + 4 }), 200);
    assert.equal(await status({ nbf: now + 30 }), 401);
  } finally {
    await own.stop();
  }
});

test('HS256 by opt-in: a secret of 32 bytes signs; a short or uniform one stops the start', async () => {
  const fs = await import('node:fs');
  const hmac = (dir, secret) => {
    fs.writeFileSync(`${dir}/secret`, secret, { mode: 0o600 });
    return { algorithms: ['HS256'], allow_hmac: true, hmac_secret_file: `${dir}/secret`, jwks_file: undefined };
  };
  const make = (secret) => {
    const own = new Server();
    Object.assign(own.config.issuers[0], hmac(own.dir, secret));
    own.writeConfig();
    return own;
  };
  const secret = crypto.randomBytes(48).toString('base64');
  const own = make(secret);
  await own.start();
  try {
    const data = `${encode('{"alg":"HS256","typ":"JWT"}')}.${encode(JSON.stringify(own.issuer.claims()))}`;
    const sign = (key) => `${data}.${crypto.createHmac('sha256', key).update(data).digest('base64url')}`;
    assert.equal((await own.auth(sign(secret))).status, 200);
    assert.equal((await own.auth(sign('x'.repeat(48)))).status, 401);
    await until('the opt-in in the log', () => /hmac|HS256/i.test(own.log));
  } finally {
    await own.stop();
  }
  for (const bad of ['short', 'a'.repeat(64), '']) {
    assert.notEqual((await make(bad).startRefused()).code, 0, JSON.stringify(bad));
  }
});

test('a flood of bad tokens runs into the signature budget; known tokens keep their answers', async () => {
  const own = await Server.start({
    issuers: (dir) => [new Issuer('https://issuer0.test', `${dir}/jwks0.json`, ['ES384'])],
    config: { cores: 1, signature_budget: { fraction: 0.2, client_share: 0.05 } },
  });
  try {
    const good = own.issuer.mint();
    assert.equal((await own.auth(good)).status, 200);
    const [head, , sig] = good.split('.');
    const request = (token) => `GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    const flood = await own.http();
    const counts = {};
    for (let i = 0; i < 3000 && !counts[503]; i += 100) {
      const burst = Array.from({ length: 100 }, () => request(`${head}.${encode(JSON.stringify(own.issuer.claims()))}.${sig}`));
      flood.send(burst.join(''));
      for (let n = 0; n < 100; n++) {
        const answer = await flood.response();
        counts[answer.status] = (counts[answer.status] ?? 0) + 1;
        if (answer.status === 503) {
          assert.equal(answer.json.error.code, 'VERIFY_BUDGET_EXHAUSTED');
          assert.ok(Number(answer.headers['retry-after']) >= 1);
        } else {
          assert.equal(answer.status, 401);
        }
      }
      assert.equal((await own.auth(good)).status, 200, 'a known token');
    }
    assert.ok(counts[503] > 0 && counts[401] > 0, JSON.stringify(counts));
    flood.close();
  } finally {
    await own.stop();
  }
});

test('two tokens in one request are refused', async () => {
  const http = await server.http();
  const token = issuer.mint();
  const answer = await http.send(`GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nAuthorization: Bearer ${issuer.mint()}\r\n\r\n`).response();
  assert.ok([400, 401].includes(answer.status));
  http.close();
});

test('without configuration nothing is allowed without a token', async () => {
  const own = await Server.start({ issuers: 0, config: { issuers: [] } });
  try {
    assert.equal((await own.get('/v1/auth')).status, 401);
    assert.equal((await own.auth(issuer.mint())).status, 401);
  } finally {
    await own.stop();
  }
});
