// SPDX-License-Identifier: Apache-2.0
// GET /openapi.json: it is valid OpenAPI 3.1, it and the endpoint table the server runs by say the
// same, and what every endpoint really answers satisfies it. A new endpoint fails here until it is
// described and has samples.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv2020 from 'ajv/dist/2020.js';
import { Server } from './lib/server.mjs';
import { Sse } from './lib/sse.mjs';

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
const JSON_TYPE = 'application/json';

let server;
let doc;
let table;
let ajv;
before(async () => {
  server = await Server.start({ env: { FLAG_HELD_BY_ENVIRONMENT: 'true' } });
  doc = (await server.get('/openapi.json')).json;
  table = (await server.get('/')).json.endpoints;
  ajv = new Ajv2020({ strict: false, allErrors: true });
  ajv.addSchema(strict(structuredClone(doc)), 'doc');
});
after(() => server?.stop());

// Every operation: {path as in the table, method in upper case or *, the operation, where it stands}.
const operations = () => Object.entries(doc.paths).flatMap(([path, item]) =>
  Object.entries(item).filter(([key]) => METHODS.includes(key)).map(([key, operation]) => ({
    path: operation['x-portcullis-path'] ?? path,
    method: operation['x-portcullis-any-method'] ? '*' : key.toUpperCase(),
    operation,
    pointer: `/paths/${escape(path)}/${key}`,
  })));
const escape = (text) => text.replaceAll('~', '~0').replaceAll('/', '~1');

// Clients must take answers with new members; this test must not, so that none is forgotten.
function strict(node) {
  if (node === null || typeof node !== 'object') return node;
  for (const value of Object.values(node)) strict(value);
  if (node.properties && node.type === 'object') node.additionalProperties ??= false;
  return node;
}

const resolve = (node) => (node?.$ref
  ? { pointer: node.$ref.slice(1), node: node.$ref.slice(2).split('/').reduce((at, key) => at[key.replaceAll('~1', '/').replaceAll('~0', '~')], doc) }
  : null);

test('the document is valid OpenAPI 3.1', async () => {
  const result = await new Validator().validate(structuredClone(doc));
  assert.ok(result.valid, JSON.stringify(result.errors, null, 1));
  assert.match(doc.openapi, /^3\.1\./);
  assert.equal(doc.info.version, (await server.get('/')).json.version);
  assert.ok(/^[\x20-\x7e\n]*$/.test((await server.get('/openapi.json')).body), 'ASCII only');
});

test('every reference leads somewhere and every component is used', () => {
  const used = new Set();
  JSON.stringify(doc, (key, value) => {
    if (key === '$ref') {
      assert.ok(resolve({ $ref: value }).node, value);
      used.add(value);
    }
    return value;
  });
  for (const [kind, all] of Object.entries(doc.components)) {
    if (kind === 'securitySchemes') continue;
    for (const name of Object.keys(all)) assert.ok(used.has(`#/components/${kind}/${name}`), `${kind}/${name}`);
  }
  const ids = operations().map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  const tags = doc.tags.map((tag) => tag.name);
  for (const { operation } of operations()) assert.ok(tags.includes(operation.tags[0]), operation.operationId);
});

test('the document and the endpoint table name the same methods and paths', () => {
  const described = operations().map(({ method, path }) => `${method} ${path}`).sort();
  const served = table.flatMap((row) => row.methods.split(', ').map((method) => `${method} ${row.path}`)).sort();
  assert.deepEqual(described, served);
});

test('listener roles, permissions and path parameters agree with the table', () => {
  for (const { method, path, operation, pointer } of operations()) {
    const what = `${method} ${path}`;
    const row = table.find((r) => r.path === path && r.methods.split(', ').includes(method));
    assert.deepEqual([...operation['x-portcullis-roles']].sort(), [...row.roles].sort(), what);
    assert.equal(operation['x-portcullis-permission'], row.permission, what);
    const credential = JSON.stringify(operation.security);
    if (row.permission === 'none') assert.equal(credential, '[]', what);
    else if (row.permission === 'decide') assert.equal(credential, '[{},{"credential":[]}]', what);
    else assert.equal(credential, '[{"credential":[]}]', what);
    const template = pointer.split('/')[2].replaceAll('~1', '/');
    const named = [...template.matchAll(/\{([^}]*)\}/g)].map((m) => m[1]).sort();
    const parameters = (operation.parameters ?? []).map((p) => resolve(p)?.node ?? p);
    assert.deepEqual(parameters.filter((p) => p.in === 'path').map((p) => p.name).sort(), named, what);
  }
});

// The schema of a described answer, or null where it has no body.
function schemaOf(found, answer, what) {
  const description = found.operation.responses[answer.status] ?? found.operation.responses.default;
  const pointer = description.$ref ? resolve(description).pointer
    : `${found.pointer}/responses/${found.operation.responses[answer.status] ? answer.status : 'default'}`;
  const { content, headers } = resolve(description)?.node ?? description;
  for (const name of Object.keys(headers ?? {})) {
    if (!['Retry-After', 'WWW-Authenticate'].includes(name)) assert.ok(name.toLowerCase() in answer.headers, `${what}: ${name}`);
  }
  const type = answer.headers['content-type'];
  if (!type) {
    assert.equal(answer.body, '', what);
    return null;
  }
  assert.ok(content, `${what}: described without a body: ${answer.body}`);
  const media = Object.keys(content).find((key) => type === key || type.startsWith(`${key};`));
  assert.ok(media, `${what}: ${type} is not one of ${Object.keys(content)}`);
  return { pointer: `doc#${pointer}/content/${escape(media)}/schema`, media };
}

function check(pointer, value, what) {
  const validate = ajv.getSchema(pointer) ?? ajv.compile({ $ref: pointer });
  assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value).slice(0, 2000)}`);
}

function find(method, path) {
  const bare = path.split('?')[0];
  const matches = (pattern) => new RegExp(`^${pattern.replace(/[.]/g, '\\.').replace(/\{[^}]*\}/g, '[^/]+').replace(/\*$/, '.*')}$`).test(bare);
  const all = operations().filter((o) => matches(o.path) && (o.method === '*' || o.method === method));
  // "/v1/auth/nginx" is no "/v1/auth/{…}": the longest literal path wins.
  return all.sort((a, b) => b.path.replace(/\{.*|\*/, '').length - a.path.replace(/\{.*|\*/, '').length)[0];
}

const covered = new Set();

// Sends it and holds the answer to the document; a body the server takes must satisfy it too.
async function probe(method, path, { status, body, role = 'admin', headers = {}, listener, to = server } = {}) {
  const what = `${method} ${path}${role ? ` as ${role}` : ''}`;
  const found = find(method, path);
  assert.ok(found, `${what} is not described`);
  const http = await to.http(listener ?? 'http');
  const answer = await http.request(method, path, { body, headers: { ...(role ? to.bearer(role) : {}), ...headers } });
  http.close();
  if (status) assert.equal(answer.status, status, `${what}: ${answer.body}`);
  assert.ok(answer.headers['x-request-id'], what);
  const schema = schemaOf(found, answer, `${what}: ${answer.status}`);
  if (schema) check(schema.pointer, schema.media === JSON_TYPE ? answer.json : answer.body, `${what}: ${answer.status}`);
  if (answer.status < 300 && body !== undefined && found.operation.requestBody) {
    check(`doc#${found.pointer}/requestBody/content/${escape(JSON_TYPE)}/schema`, body, `${what}: the request`);
  }
  if (answer.status < 300) covered.add(`${found.method} ${found.path}`);
  return answer;
}

const token = (claims) => server.issuer.mint(claims);
const asClient = (text) => ({ role: null, headers: { Authorization: `Bearer ${text}` } });

test('decisions answer as described', async () => {
  const jti = 'to-be-revoked';
  for (const path of ['/v1/auth', '/v1/auth/nginx', '/v1/auth/envoy/orders/7']) {
    await probe('GET', path, { status: 200, ...asClient(token()) });
    await probe('POST', path, { status: 200, ...asClient(token()), body: 'a form' });
    await probe('GET', path, { status: 401, role: null });
    await probe('GET', path, { status: 401, ...asClient(token({ exp: 1 })) });
  }
  await probe('GET', '/v1/auth', { status: 400, role: null, headers: { 'X-Forwarded-Uri': '/a%2fb' } });
  await probe('GET', '/v1/auth/nginx', { status: 403, role: null, headers: { 'X-Forwarded-Uri': '/a%2fb' } });
  await probe('GET', '/v1/auth', { status: 404, role: null, listener: 'public' });
  await probe('POST', '/v1/check', { status: 200, body: { token: token() } });
  await probe('POST', '/v1/check', { status: 200, body: {} });
  await probe('POST', '/v1/check', { status: 200, body: { token: token({ sub: undefined }), context: { a: 1 }, request: { path: '/x', method: 'GET' } } });
  await probe('POST', '/v1/check', { status: 200, body: { token: token(), limits: [{ policy: 'general' }, { policy: 'email', key: 'a@b', cost: 2 }], flags: ['cache.ttl_seconds', 'no.such'] } });
  await probe('POST', '/v1/explain', { status: 200, body: { token: token(), route: 'default', limits: [{ policy: 'general' }], request: { headers: { a: 'b', c: ['d'] } } } });
  await probe('POST', '/v1/explain', { status: 200, body: {}, role: 'viewer' });
  await probe('POST', '/v1/explain', { status: 400, body: { route: 'no-such' } });
  await probe('POST', '/v1/check', { status: 400, body: '{"token":' });
  await probe('POST', '/v1/check', { status: 400, body: { surprise: 1 } });
  await probe('POST', '/v1/revoke', { status: 200, body: { kind: 'token', id: jti, ttl: 60 } });
  await probe('POST', '/v1/check', { status: 200, body: { token: token({ jti }) } });
});

test('revoking answers as described, for every kind', async () => {
  const other = await Server.start();
  try {
    const kinds = doc.components.schemas.Kind.enum;
    const thumbprint = other.issuer.keys?.[0]?.thumbprint;
    for (const kind of kinds) {
      const body = { kind, issuer: other.issuer.name, id: kind === 'key' ? thumbprint ?? 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' : 'x', reason: 'a test' };
      if (kind === 'issuer' || kind === 'all') delete body.id;
      if (kind === 'all') delete body.issuer;
      if (['token', 'session', 'family'].includes(kind)) body.ttl = kind === 'token' ? '15m' : 60.5;
      await probe('POST', '/v1/revoke', { status: 200, body, to: other });
      const query = body.issuer ? `?issuer=${encodeURIComponent(body.issuer)}` : '';
      await probe('GET', `/v1/revocations/${kind}/${body.id ?? '-'}${query}`, { status: 200, to: other });
      delete body.ttl;
      await probe('DELETE', '/v1/revoke', { status: 200, body, to: other });
    }
    const several = [{ kind: 'token', id: 'a', ttl: 5 }, { kind: 'session', id: 'b', expires_at: Date.now() / 1000 + 60 }];
    await probe('POST', '/v1/revoke', { status: 200, body: several, to: other });
    await probe('POST', '/v1/revoke', { status: 200, body: { token: other.issuer.mint() }, role: 'gateway', to: other });
  } finally {
    await other.stop();
  }
  await probe('GET', '/v1/revocations/session/-?id=a%2Fb', { status: 200 });
  await probe('POST', '/v1/revoke', { status: 403, body: { kind: 'session', id: 'x', ttl: 5 }, role: 'gateway' });
  await probe('POST', '/v1/revoke', { status: 400, body: { kind: 'nonsense', id: 'x' } });
  await probe('POST', '/v1/revoke', { status: 413, body: Array.from({ length: 4097 }, () => ({ kind: 'token', id: 'x', ttl: 5 })) });
  await probe('DELETE', '/v1/revoke', { status: 401, body: { kind: 'token', id: 'x' }, role: null });
  await probe('GET', '/v1/revocations/nonsense/x', { status: 400 });
});

test('operations answer as described', async () => {
  await probe('GET', '/', { status: 200, role: null });
  await probe('GET', '/', { status: 200, role: null, headers: { Accept: 'text/html' } });
  await probe('GET', '/openapi.json', { status: 200, role: null });
  for (const path of ['/health', '/readiness', '/liveness', '/metrics']) await probe('GET', path, { status: 200, role: null });
  await probe('GET', '/metrics', { status: 404, role: null, listener: 'public' });
  await probe('POST', '/admin/reload', { status: 200 });
  await probe('POST', '/admin/reload', { status: 403, role: 'operator' });
  await probe('POST', '/admin/clock/confirm', { status: 200 });
  await probe('POST', '/admin/snapshot');
});

test('flags answer as described', async () => {
  await probe('GET', '/flags', { status: 200, role: 'gateway' });
  await probe('GET', '/flags/ui.show_beta_features', { status: 200, role: 'viewer' });
  await probe('GET', '/flags/no.such_flag', { status: 404 });
  await probe('GET', '/flags', { status: 401, role: null });
  for (const value of [true, 'text', 7, 1.5, { a: [1] }]) {
    const key = `test.${typeof value}_${String(value).length}`;
    await probe('POST', `/flags/${key}`, { status: 200, body: { value, reason: 'a test' } });
    await probe('GET', `/flags/${key}`, { status: 200 });
    await probe('DELETE', `/flags/${key}`, { status: 200 });
  }
  await probe('POST', '/flags/ui.show_beta_features', { status: 200, body: { value: true, ephemeral: true } });
  await probe('GET', '/flags', { status: 200 });
  await probe('DELETE', '/flags/ui.show_beta_features', { status: 200 });
  await probe('DELETE', '/flags/ui.show_beta_features', { status: 404 });
  await probe('POST', '/flags/ui.show_beta_features', { status: 400, body: { value: 'no' } });
  await probe('POST', '/flags/ui.show_beta_features', { status: 403, body: { value: true }, role: 'viewer' });
  await probe('POST', '/flags/held.by_environment', { status: 409, body: { value: true } });
  await probe('POST', '/admin/flags/reload', { status: 200 });
});

test('IP rules answer as described', async () => {
  const path = '/admin/ip-rules';
  await probe('GET', path, { status: 200, role: 'viewer' });
  await probe('POST', path, { status: 200, role: 'operator', body: { cidr: '203.0.113.0/24', action: 'deny', ttl: '1h', reason: 'a test' } });
  await probe('POST', path, { status: 200, body: { set: 'global', cidr: '2001:db8::', action: 'allow', expires_at: Date.now() / 1000 + 60 } });
  await probe('POST', path, { status: 200, body: [{ cidr: '203.0.113.0/25', action: 'deny' }, { cidr: '203.0.113.9', action: 'allow', ttl: 60 }] });
  await probe('GET', `${path}?source=runtime&limit=2`, { status: 200 });
  await probe('DELETE', path, { status: 200, body: { cidr: '203.0.113.0/24', reason: 'over' } });
  await probe('DELETE', path, { status: 200, body: [{ cidr: '203.0.113.0/25' }, { cidr: '203.0.113.9' }, { cidr: '2001:db8::' }] });
  await probe('DELETE', path, { status: 404, body: { cidr: '203.0.113.0/24' } });
  await probe('POST', path, { status: 400, body: { cidr: '203.0.113.1/24', action: 'deny' } });
  await probe('POST', path, { status: 404, body: { set: 'nonsense', cidr: '203.0.113.1', action: 'deny' } });
  await probe('POST', path, { status: 403, body: {}, role: 'viewer' });
  await probe('GET', path, { status: 403, role: 'gateway' });
  await probe('GET', `${path}?surprise=1`, { status: 400 });
});

test('limits answer as described', async () => {
  const path = '/v1/limits/login/alice';
  await probe('POST', path, { status: 200, role: 'gateway' });
  await probe('POST', path, { status: 200, body: { cost: 9 } });
  await probe('POST', path, { status: 429 });
  await probe('POST', path, { status: 429, body: { cost: 11 } });
  await probe('POST', path, { status: 400, body: { cost: -1 } });
  await probe('POST', path, { status: 401, role: null });
  await probe('GET', path, { status: 200, role: 'gateway' });
  await probe('GET', '/v1/limits/no.such/alice', { status: 404 });
  await probe('GET', '/admin/limits/top', { status: 200, role: 'viewer' });
  await probe('DELETE', path, { status: 403, role: 'gateway' });
  await probe('DELETE', path, { status: 200, role: 'operator' });
  await probe('DELETE', path, { status: 200, role: 'operator' });
});

test('events are a stream as described', async () => {
  const found = find('GET', '/v1/events');
  const stream = await Sse.open(server.address('http'), { headers: server.bearer('operator') });
  assert.ok(schemaOf(found, { ...stream.answer, body: 'a stream' }, 'GET /v1/events'));
  stream.close();
  covered.add('GET /v1/events');
  await probe('GET', '/v1/events?types=revocation', { status: 403, role: 'viewer' });
  await probe('GET', '/v1/events?surprise=1', { status: 400 });
  await probe('GET', '/v1/events', { status: 401, role: null });
});

test('every endpoint answers 404 where its listener does not serve it, as described', async () => {
  for (const row of table) {
    const listener = ['gateway', 'public', 'admin'].find((role) => !row.roles.includes(role));
    if (!listener) continue;
    for (const method of row.methods === '*' ? ['GET'] : row.methods.split(', ')) {
      const body = method === 'GET' ? undefined : {};
      await probe(method, row.path.replace(/\{[^}]*\}|\*/g, 'x'), { status: 404, body, listener });
    }
  }
});

test('every described operation had a good answer looked at', () => {
  const missing = operations().map(({ method, path }) => `${method} ${path}`).filter((name) => !covered.has(name));
  assert.deepEqual(missing, []);
});
