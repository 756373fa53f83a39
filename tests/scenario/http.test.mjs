// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 by RFC 9110 and 9112: what is served, what is refused, and when the connection closes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { Http } from './lib/wire.mjs';
import { untilClock } from './lib/wait.mjs';

let server;
let token;
before(async () => {
  server = await Server.start();
  token = server.issuer.mint();
});
after(() => server?.stop());

const PLACES = ['http', 'http-unix'];
const AUTH = () => `GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`;

async function exchange(bytes, place = 'http') {
  const http = await server.http(place);
  const answer = await http.send(bytes).response();
  return { http, answer };
}

// Request text -> status; every one also closes the connection.
const REFUSED = [
  ['both Content-Length and Transfer-Encoding', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two differing Content-Length fields', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
  ['a list of differing Content-Length values', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabcd'],
  ['a signed Content-Length', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc'],
  ['a negative Content-Length', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc'],
  ['an overflowing Content-Length', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\na'],
  ['an empty Content-Length', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n'],
  ['a hexadecimal Content-Length', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc'],
  ['a folded field', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n'],
  ['a bare CR in a field', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n'],
  ['a bare CR in the request line', 400, 'GET /v1/auth\rx HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['NUL in a field', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n'],
  ['a control byte in a field', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n'],
  ['DEL in a field', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A: b\x7fc\r\n\r\n'],
  ['a space before the colon', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n'],
  ['a field without a name', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n'],
  ['a field without a colon', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n'],
  ['a space in a field name', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n'],
  ['white space before the first field', 400, 'GET /v1/auth HTTP/1.1\r\n Host: a\r\n\r\n'],
  ['no Host', 400, 'GET /v1/auth HTTP/1.1\r\n\r\n'],
  ['two Hosts', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'],
  ['a Host that is none', 400, 'GET /v1/auth HTTP/1.1\r\nHost: a b\r\n\r\n'],
  ['a chunk size that is none', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n'],
  ['a signed chunk size', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n'],
  ['an overflowing chunk size', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n'],
  ['a chunk longer than its size', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n'],
  ['a chunk size without digits', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\nabc\r\n0\r\n\r\n'],
  ['an unknown transfer coding', 501, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['a transfer coding that does not end in chunked', 400, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n', [400, 501]],
  ['Transfer-Encoding in HTTP/1.0', 400, 'POST /v1/check HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['CONNECT', 501, 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'],
  ['a method that is no token', 400, 'G@T /v1/auth HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['two spaces in the request line', 400, 'GET  /v1/auth HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['an unknown version', 505, 'GET /v1/auth HTTP/2.0\r\nHost: a\r\n\r\n'],
  ['a malformed version', 400, 'GET /v1/auth HTTQ/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 400, 'GET /v1/auth\r\n\r\n'],
  ['a target that is no path', 400, 'GET v1/auth HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a fragment in the target', 400, 'GET /v1/auth#x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a request line of more than 8 KiB', 414, `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
  ['a header block of more than 16 KiB', 431, `GET /v1/auth HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(17000)}\r\n\r\n`],
  ['more than 100 fields', 431, `GET /v1/auth HTTP/1.1\r\nHost: a\r\n${'X-A: b\r\n'.repeat(101)}\r\n`],
  ['a body of more than 1 MiB', 413, 'POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n'],
  ['a chunked body of more than 1 MiB', 413, `POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n${'a'.repeat(0x100001)}\r\n0\r\n\r\n`],
];

for (const [what, status, bytes, either = [status]] of REFUSED) {
  test(`refused with ${either.join(' or ')} and a closed connection: ${what}`, async () => {
    for (const place of PLACES) {
      const { http, answer } = await exchange(bytes, place);
      assert.ok(either.includes(answer.status), `status ${answer.status}`);
      assert.match(answer.headers.connection ?? '', /close/i);
      const error = answer.json.error;
      assert.match(error.code, /^[A-Z][A-Z0-9_]+$/);
      assert.equal(error.request_id, answer.headers['x-request-id']);
      assert.ok(await http.closed(), 'nothing follows a refusal');
      http.close();
    }
  });
}

// A smuggled second request behind a refused one must never be answered.
test('nothing behind a refused request is answered', async () => {
  const { http, answer } = await exchange(`POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${AUTH()}`);
  assert.equal(answer.status, 400);
  assert.ok(await http.closed());
});

test('keep-alive: many requests on one connection', async () => {
  for (const place of PLACES) {
    const http = await server.http(place);
    for (let i = 0; i < 50; i++) assert.equal((await http.send(AUTH()).response()).status, 200);
    http.close();
  }
});

test('Connection: close is obeyed', async () => {
  const { http, answer } = await exchange(AUTH().replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  assert.equal(answer.status, 200);
  assert.match(answer.headers.connection, /close/i);
  assert.ok(await http.closed());
});

test('pipelining: answers come in the order of the requests', async () => {
  for (const place of PLACES) {
    const http = await server.http(place);
    const ids = Array.from({ length: 100 }, (_, i) => `order-${i}`);
    http.send(ids.map((id, i) => (i % 3 === 2
      ? `GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-ID: ${id}\r\n\r\n`
      : AUTH().replace('\r\n\r\n', `\r\nX-Request-ID: ${id}\r\n\r\n`))).join(''));
    for (const [i, id] of ids.entries()) {
      const answer = await http.response();
      assert.equal(answer.headers['x-request-id'], id);
      assert.equal(answer.status, i % 3 === 2 ? 404 : 200);
    }
    http.close();
  }
});

test('pipelining: a slow mutation does not let later answers overtake it', async () => {
  const http = await server.http();
  const claims = server.issuer.claims();
  const mine = server.issuer.sign(claims);
  const body = JSON.stringify({ kind: 'token', id: claims.jti, ttl: 3600 });
  const auth = `GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${mine}\r\n\r\n`;
  http.send(auth + `POST /v1/revoke HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${server.tokens.operator}\r\n`
    + `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}` + auth);
  const seen = [];
  for (let i = 0; i < 3; i++) seen.push((await http.response()).status);
  assert.deepEqual(seen, [200, 200, 401], 'a command sees the mutations before it on its connection');
  http.close();
});

test('requests that arrive byte by byte', async () => {
  const http = await server.http();
  for (const byte of AUTH()) http.send(byte);
  assert.equal((await http.response()).status, 200);
  http.close();
});

test('HEAD: the headers of GET and no body', async () => {
  const http = await server.http();
  const get = await http.request('GET', '/health');
  const head = await http.request('HEAD', '/health');
  assert.equal(head.status, get.status);
  assert.equal(head.headers['content-type'], get.headers['content-type']);
  assert.equal((await http.request('GET', '/health')).status, get.status, 'the connection is still in step');
  http.close();
});

test('Expect: 100-continue is answered before the body', async () => {
  const http = await server.http();
  const body = JSON.stringify({ token });
  http.send(`POST /v1/check HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${server.tokens.gateway}\r\n`
    + `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`);
  const interim = await http.head();
  assert.equal(interim.status, 100);
  http.send(body);
  const answer = await http.response();
  assert.equal(answer.status, 200);
  assert.equal(answer.json.allow, true);
  http.close();
});

test('Expect: 100-continue: a refusal comes instead of 100', async () => {
  const { answer } = await exchange('POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n');
  assert.equal(answer.status, 413);
  assert.deepEqual(answer.interim, []);
});

test('an unknown expectation is 417', async () => {
  const { answer } = await exchange('GET /health HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n');
  assert.equal(answer.status, 417);
});

test('chunked bodies, in one piece and split at every byte', async () => {
  const body = JSON.stringify({ token });
  const half = body.length >> 1;
  const chunk = (text) => `${text.length.toString(16)};ext="x"\r\n${text}\r\n`;
  const request = `POST /v1/check HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${server.tokens.gateway}\r\nContent-Type: application/json\r\n`
    + `Transfer-Encoding: chunked\r\n\r\n${chunk(body.slice(0, half))}${chunk(body.slice(half))}0\r\nX-Trailer: 1\r\n\r\n`;
  const http = await server.http();
  assert.equal((await http.send(request).response()).json.allow, true);
  for (const byte of request) http.send(byte);
  assert.equal((await http.response()).json.allow, true);
  assert.equal((await http.send(AUTH()).response()).status, 200, 'the connection is still in step');
  http.close();
});

test('HTTP/1.0 closes, or stays with Connection: keep-alive', async () => {
  const { http, answer } = await exchange('GET /health HTTP/1.0\r\n\r\n');
  assert.equal(answer.status, 200);
  assert.ok(await http.closed());
  const keep = await server.http();
  for (let i = 0; i < 3; i++) {
    const kept = await keep.send('GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').response();
    assert.equal(kept.status, 200);
    assert.match(kept.headers.connection ?? '', /keep-alive/i);
  }
  keep.close();
});

test('an empty line before a request is tolerated', async () => {
  const { http, answer } = await exchange(`\r\n${AUTH()}`);
  assert.equal(answer.status, 200);
  http.close();
});

test('an absolute target is served like a path', async () => {
  const { http, answer } = await exchange(AUTH().replace('/v1/auth', 'http://a/v1/auth'));
  assert.equal(answer.status, 200);
  http.close();
});

test('unknown paths are 404, known ones with the wrong method 405 with Allow', async () => {
  const http = await server.http();
  const unknown = await http.request('GET', '/nowhere');
  assert.equal(unknown.status, 404);
  assert.equal(typeof unknown.json.error.code, 'string');
  const method = await http.request('PUT', '/v1/check', { body: {} });
  assert.equal(method.status, 405);
  assert.match(method.headers.allow ?? '', /POST/);
  http.close();
});

test('every path also answers under /api', async () => {
  const http = await server.http();
  assert.equal((await http.request('GET', '/api/health')).status, 200);
  assert.equal((await http.request('GET', '/api/v1/auth', { headers: { Authorization: `Bearer ${token}` } })).status, 200);
  assert.equal((await http.request('GET', '/api/api/health')).status, 404);
  http.close();
});

const HOSTILE_PATHS = ['/v1/auth%2f', '/v1%2Fauth', '/v1%5cauth', '/v1\\auth', '/v1/auth%00', '/v1/%252e%252e/auth', '/v1/%zz', '/../v1/auth', '/v1/%2e%2e/%2e%2e/x'];
test('paths that could be read in two ways are 400', async () => {
  for (const path of HOSTILE_PATHS) {
    const { http, answer } = await exchange(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.equal(answer.status, 400, path);
    http.close();
  }
});

test('paths are decoded once and dot segments removed', async () => {
  const http = await server.http();
  for (const path of ['/%68ealth', '/x/../health', '/./health', '//health']) {
    assert.equal((await http.request('GET', path)).status, 200, path);
  }
  http.close();
});

test('X-Request-ID is taken over if sane, else made as a UUIDv7', async () => {
  const http = await server.http();
  const id = async (value) => (await http.request('GET', '/health', { headers: value === null ? {} : { 'X-Request-ID': value } })).headers['x-request-id'];
  assert.equal(await id('abc-123_x.y'), 'abc-123_x.y');
  const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  assert.match(await id(null), uuid7);
  assert.match(await id('"><script>'), uuid7);
  assert.match(await id('x'.repeat(500)), uuid7);
  assert.notEqual(await id(null), await id(null));
  http.close();
});

test('responses a browser could render carry the security headers', async () => {
  const http = await server.http();
  for (const path of ['/', '/health', '/nowhere', '/metrics']) {
    const { headers } = await http.request('GET', path, { headers: server.bearer('admin') });
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
    assert.ok(headers['content-security-policy'] || headers['x-frame-options'], path);
  }
  http.close();
});

test('no CORS headers unless origins are configured', async () => {
  const http = await server.http();
  const answer = await http.request('GET', '/health', { headers: { Origin: 'https://evil.test' } });
  assert.equal(answer.headers['access-control-allow-origin'], undefined);
  http.close();
});

test('CORS: configured origins only, and preflights', async () => {
  const other = await Server.start({ config: { cors: { origins: ['https://app.test'] } } });
  try {
    const http = await other.http();
    const good = await http.request('GET', '/health', { headers: { Origin: 'https://app.test' } });
    assert.equal(good.headers['access-control-allow-origin'], 'https://app.test');
    assert.match(good.headers.vary ?? '', /origin/i);
    const bad = await http.request('GET', '/health', { headers: { Origin: 'https://app.test.evil' } });
    assert.equal(bad.headers['access-control-allow-origin'], undefined);
    const preflight = await http.request('OPTIONS', '/v1/check', { headers: {
      Origin: 'https://app.test', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type' } });
    assert.ok([200, 204].includes(preflight.status));
    assert.match(preflight.headers['access-control-allow-methods'] ?? '', /POST/);
    http.close();
  } finally {
    await other.stop();
  }
});

test('timeouts: 408 for a slow head and a slow body; idle connections close without a word', async () => {
  const other = await Server.start({ config: { http: { header_timeout: '300ms', body_timeout: '300ms', idle_timeout: '300ms' } } });
  try {
    const head = await other.http();
    assert.equal((await head.send('GET /health HTTP/1.1\r\nHost: a\r\n').response()).status, 408);
    assert.ok(await head.closed());
    const body = await other.http();
    assert.equal((await body.send('POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{').response()).status, 408);
    assert.ok(await body.closed());
    const idle = await other.http();
    assert.equal((await idle.request('GET', '/health')).status, 200);
    assert.ok(await idle.closed());
    const silent = await other.http();
    assert.ok(await silent.closed(), 'a connection that never spoke is closed in silence');
  } finally {
    await other.stop();
  }
});

test('a connection whose request takes long to arrive is not idle', async () => {
  const other = await Server.start({ config: { http: { idle_timeout: '300ms' } } });
  try {
    const body = JSON.stringify({ token: other.issuer.mint() });
    const busy = await other.http();
    assert.equal((await busy.request('GET', '/health')).status, 200);
    busy.send(`POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 9)}`);
    const idle = await other.http();
    assert.equal((await idle.request('GET', '/health')).status, 200);
    assert.ok(await idle.closed());
    assert.equal((await busy.send(body.slice(9)).response()).status, 200);
    busy.close();
  } finally {
    await other.stop();
  }
});

test('who may not ask is told so before the body, and 100 is not promised', async () => {
  for (const [target, extra, status] of [['/v1/revoke', '', 401], ['/v1/revoke', 'Expect: 100-continue\r\n', 401], ['/nowhere', '', 404], ['/v1/a%2fb', '', 400]]) {
    for (const framing of ['Content-Length: 1000000\r\n\r\n[', `Transfer-Encoding: chunked\r\n\r\nffff\r\n[${' '.repeat(20_000)}`]) {
      const { http, answer } = await exchange(`POST ${target} HTTP/1.1\r\nHost: a\r\n${extra}${framing}`);
      assert.equal(answer.status, status, `${target} ${extra}`);
      assert.deepEqual(answer.interim, []);
      assert.equal(answer.headers.connection, 'close');
      assert.ok(await http.closed());
    }
  }
});

test('a refusal keeps the connection when the body is small, however late', async () => {
  const http = await server.http();
  http.send('POST /v1/revoke HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n');
  assert.equal((await server.get('/liveness')).status, 200);
  assert.equal((await http.send('[]').response()).status, 401);
  assert.equal((await http.send(AUTH()).response()).status, 200);
  http.close();
});

test('slow-loris: drip-fed heads run into the header timeout while others are served', async () => {
  const other = await Server.start({ config: { http: { header_timeout: '1s' } } });
  try {
    const slow = await Promise.all(Array.from({ length: 200 }, () => other.http()));
    const deadline = Date.now() + 900;
    for (const http of slow) http.send('GET /health HTTP/1.1\r\nHost: a\r\n');
    const quick = await other.http();
    while (Date.now() < deadline) {
      for (const http of slow) http.send('X-A: b\r\n');
      assert.equal((await quick.request('GET', '/health')).status, 200);
      await untilClock(Date.now() + 50);
    }
    const answers = await Promise.all(slow.map((http) => http.response()));
    assert.ok(answers.every(({ status }) => status === 408 || status === 431), JSON.stringify(answers.map((a) => a.status)));
    assert.equal((await quick.request('GET', '/health')).status, 200);
    for (const http of [...slow, quick]) http.close();
  } finally {
    await other.stop();
  }
});

test('a client that does not read stops being read; others are served', async () => {
  const greedy = await server.http();
  greedy.socket.pause();
  const request = Buffer.from(AUTH().repeat(1000));
  // Sends until the server's output limit makes it stop reading and the socket fills.
  for (let i = 0; i < 200 && greedy.socket.write(request); i++);
  const http = await server.http();
  for (let i = 0; i < 20; i++) assert.equal((await http.send(AUTH()).response()).status, 200);
  http.close();
  greedy.close();
});

test('a half-closed client still gets its answers', async () => {
  const http = await server.http();
  http.send(AUTH() + AUTH());
  http.socket.end();
  assert.equal((await http.response()).status, 200);
  assert.equal((await http.response()).status, 200);
  assert.ok(await http.closed());
});

test('too many connections: new ones get 503 or are closed, old ones keep theirs', async () => {
  const other = await Server.start({ config: { cores: 1, limits: { max_connections: 16 } } });
  try {
    const kept = [];
    for (let i = 0; i < 12; i++) {
      const http = await other.http();
      assert.equal((await http.request('GET', '/health')).status, 200);
      kept.push(http);
    }
    const more = await Promise.all(Array.from({ length: 20 }, () => Http.open(other.address('http'))));
    const outcomes = await Promise.all(more.map(async (http) => {
      http.send('GET /health HTTP/1.1\r\nHost: a\r\n\r\n');
      try { return (await http.response()).status; } catch { return 'closed'; }
    }));
    assert.ok(outcomes.some((o) => o === 503 || o === 'closed'), JSON.stringify(outcomes));
    for (const http of kept) assert.equal((await http.request('GET', '/health')).status, 200);
    for (const http of [...kept, ...more]) http.close();
  } finally {
    await other.stop();
  }
});
