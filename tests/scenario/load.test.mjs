// SPDX-License-Identifier: Apache-2.0
// portcullis-load against servers that misbehave on purpose: what it sends, that it checks every
// answer, that a pause cannot hide, that its log is read by a reader that is not ours.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import hdr from 'hdr-histogram-js';
import { BIN, scratch } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const folder = scratch('load');
const children = new Set();
const servers = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const server of servers) server.close();
});

function start(program, args, env) {
  const child = spawn(path.join(BIN, program), args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  children.add(child);
  child.text = { out: '', err: '' };
  child.stdout.on('data', (bytes) => { child.text.out += bytes; });
  child.stderr.on('data', (bytes) => { child.text.err += bytes; });
  child.ended = new Promise((resolve) => child.on('close', (status) => {
    children.delete(child);
    resolve(status);
  }));
  return child;
}

async function load(...args) {
  const child = start('portcullis-load', ['run', ...args.map(String)]);
  const status = await child.ended;
  return { status, ...child.text };
}

// A run that must end with the status, as its JSON.
async function report(status, ...args) {
  const done = await load('--quiet', '--json', ...args);
  assert.equal(done.status, status, done.err);
  return JSON.parse(done.out);
}

const SHORT = ['--duration', '300ms', '--warmup', '50ms', '--connections', '4'];

// A bare responder: its port. pause: ms, every ms.
async function responder(kind, ...pause) {
  const child = start('perf-uring-responder', [kind, '0', '-', ...pause.map(String)]);
  await until('a port', () => child.text.out.includes('\n'));
  return { port: Number(child.text.out), pid: child.pid };
}

async function listening(server, where = { port: 0, host: '127.0.0.1' }) {
  servers.push(server);
  await new Promise((resolve) => { server.listen(where, resolve); });
  return server.address()?.port;
}

const web = (handler, where) => listening(http.createServer({ keepAlive: true }, handler), where);
const raw = (handler) => listening(net.createServer((socket) => {
  socket.on('error', () => {});
  handler(socket);
}));
const url = (port, where = '/') => `http://127.0.0.1:${port}${where}`;
const framed = (requests) => requests.map(([text, expected]) => `${Buffer.byteLength(text)} ${expected}\n${text}`).join('');

test('an open loop shows a pause of the server, a closed loop says that it does not', async () => {
  const { port } = await responder('http', 400, 1000);
  const open = await report(0, '--url', url(port), '--rate', 500, '--duration', '3s', '--warmup', '0', '--arrivals', 'poisson');
  assert.equal(open.loop, 'open');
  assert.match(open.loop_note, /from the moment a request was due/);
  assert.ok(open.latency_us.p99 > 200_000, `p99 is ${open.latency_us.p99}`);
  assert.ok(open.latency_us.p99 >= open.service_us.p99);
  const closed = await load('--url', url(port), '--json', path.join(folder, 'closed.json'), ...SHORT);
  assert.equal(closed.status, 0, closed.err);
  assert.match(closed.out, /closed loop: does not see waiting \(coordinated omission\)/);
  const saved = JSON.parse(fs.readFileSync(path.join(folder, 'closed.json')));
  assert.equal(saved.loop, 'closed');
  assert.match(saved.loop_note, /coordinated omission/);
});

test('what was due and could not be sent is reported and counted by its age', async () => {
  const port = await raw(() => {}); // never answers
  const found = await report(0, '--url', url(port), '--rate', 1000, '--connections', 1, '--duration', '500ms', '--warmup', 0);
  assert.equal(found.requests, 0);
  assert.ok(found.unsent >= 400, `unsent ${found.unsent}`);
  assert.equal(found.unanswered, 1);
  assert.equal(found.latency_us.count, found.unsent + found.unanswered);
  assert.ok(found.latency_us.max >= 499_000, `max ${found.latency_us.max}`);
});

test('the HdrHistogram log is read by another reader, with the same percentiles', async () => {
  const { port } = await responder('http');
  const log = path.join(folder, 'run.hlog');
  const found = await report(0, '--url', url(port), '--hdr-log', log, '--duration', '1500ms', '--warmup', '100ms', '--rate', 2000);
  const lines = fs.readFileSync(log, 'utf8').trim().split('\n');
  assert.match(lines[1], /^#\[Histogram log format version 1\.3\]$/);
  assert.ok(lines.some((line) => line.startsWith('#[StartTime: ')));
  const all = hdr.build({ lowestDiscernibleValue: 1, highestTrackableValue: 3.6e12, numberOfSignificantValueDigits: 3 });
  const intervals = lines.filter((line) => /^\d/.test(line)).map((line) => line.split(','));
  for (const [, length, longest, text] of intervals) {
    const one = hdr.decodeFromCompressedBase64(text);
    assert.ok(Number(length) >= 0);
    assert.ok(Math.abs(one.maxValue / 1e6 - Number(longest)) < Number(longest) / 500 + 0.001);
    all.add(one);
  }
  assert.ok(intervals.length >= 2);
  assert.equal(all.totalCount, found.latency_us.count);
  for (const [name, share] of [['p50', 50], ['p90', 90], ['p99', 99], ['p99.9', 99.9]]) {
    const theirs = all.getValueAtPercentile(share) / 1000;
    assert.ok(Math.abs(theirs - found.latency_us[name]) <= theirs / 500, `${name}: ${theirs} and ${found.latency_us[name]}`);
  }
});

test('the JSON holds what repeats the run', async () => {
  const { port, pid } = await responder('http');
  const found = await report(0, '--url', url(port, '/x?y=1'), '--server-pid', pid, '--seed', 7, '--header', 'X-A: b', ...SHORT);
  for (const name of ['p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max', 'mean']) assert.ok(found.latency_us[name] > 0, name);
  assert.ok(found.requests > 0 && found.rate_per_s > 0 && found.all_requests >= found.requests);
  assert.deepEqual(found.errors, { total: 0, connect: 0, reset: 0, timeout: 0, malformed: 0 });
  assert.equal(found.options.seed, 7);
  assert.deepEqual(found.options.header, ['X-A: b']);
  assert.match(found.command, /^portcullis-load run .*--header 'X-A: b'/);
  assert.match(found.machine.kernel, /^Linux/);
  assert.ok(found.machine.cpus > 0 && found.machine.cpu_model && found.machine.program);
  assert.ok(found.server.cpu_us_per_request > 0 && found.server.rss_bytes > 0);
  assert.equal(found.server.from, `pid ${pid}`);
  if (found.server.instructions_per_request === null) assert.match(found.server.why_no_counters, /perf_event_open/);
});

test('the server is seen through its metrics, too', async () => {
  let cpu = 1;
  const port = await web((request, response) => {
    if (request.url !== '/metrics') return response.end();
    cpu += 0.5;
    return response.end(`# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total ${cpu}\nprocess_resident_memory_bytes 1048576\n`);
  });
  const found = await report(0, '--url', url(port), '--server-metrics', url(port, '/metrics'), ...SHORT);
  assert.equal(found.server.cpu_s, 0.5);
  assert.equal(found.server.rss_bytes, 1048576);
  assert.equal(found.server.voluntary_switches_per_request, null);
  const without = await load('--url', url(port), '--server-metrics', url(port, '/'), ...SHORT);
  assert.equal(without.status, 1);
  assert.match(without.err, /no process_cpu_seconds_total in it/);
});

test('wrong answers are counted apart from errors, shown, and fail the run', async () => {
  const file = path.join(folder, 'wrong.requests');
  fs.writeFileSync(file, framed([['GET /a HTTP/1.1\r\nHost: x\r\n\r\n', '200'], ['GET /b HTTP/1.1\r\nHost: x\r\n\r\n', '403'], ['GET /c HTTP/1.1\r\nHost: x\r\n\r\n', '*']]));
  const port = await web((request, response) => response.end(request.url));
  const found = await report(3, '--url', url(port), '--requests', file, '--count', 300, '--connections', 1);
  assert.equal(found.requests, 300);
  assert.equal(found.wrong_answers, 100);
  assert.equal(found.errors.total, 0);
  assert.match(found.wrong_examples[0], /expected 403, got 200 \/b/);
});

test('a request of one\'s own: method, fields, body, chunked answers, tokens in turn', async () => {
  const seen = new Set();
  const port = await web((request, response) => {
    let body = '';
    request.on('data', (bytes) => { body += bytes; }).on('end', () => {
      seen.add(`${request.method} ${request.url} ${request.headers['x-a']} ${request.headers.authorization} ${request.headers.host} ${body}`);
      response.write('part '); // no length: chunked
      response.end('two');
    });
  });
  const tokens = path.join(folder, 'tokens');
  fs.writeFileSync(tokens, '# two\naaa.b.c\n\nddd.e.f\n');
  const found = await report(0, '--url', url(port, '/p?q'), '--method', 'PUT', '--header', 'X-A: 1', '--host-header', 'h.example', '--body', '{"x":1}', '--bearer-file', tokens, '--count', 40);
  assert.equal(found.requests, 40);
  assert.deepEqual([...seen].sort(), ['aaa.b.c', 'ddd.e.f'].map((t) => `PUT /p?q 1 Bearer ${t} h.example {"x":1}`));
});

test('a counter makes every request different, over threads', async () => {
  const seen = new Map();
  const port = await web((request, response) => {
    seen.set(request.url, (seen.get(request.url) ?? 0) + 1);
    response.end();
  });
  const found = await report(0, '--url', url(port, '/@@@@@@@@@@@@'), '--counter', 500, '--count', 100, '--threads', 2, '--connections', 4);
  assert.equal(seen.size, 100);
  assert.ok(seen.has('/000000000500') && seen.has('/000000000599'));
  assert.equal(found.workload.next_counter, 600);
});

test('a server that closes after each answer costs reconnects, not errors', async () => {
  const port = await web((request, response) => response.writeHead(200, { Connection: 'close' }).end('x'));
  const found = await report(0, '--url', url(port), '--count', 50, '--connections', 2);
  assert.equal(found.requests, 50);
  assert.equal(found.errors.total, 0);
  assert.ok(found.reconnects >= 40, `reconnects ${found.reconnects}`);
});

test('resets, malformed answers and timeouts are errors, each by its name', async () => {
  const resets = await raw((socket) => socket.on('data', () => socket.destroy()));
  const gone = await report(4, '--url', url(resets), ...SHORT);
  assert.ok(gone.errors.reset > 0);
  assert.equal(gone.wrong_answers, 0);
  const noise = await raw((socket) => socket.on('data', () => socket.write('what?\r\n\r\n')));
  assert.ok((await report(4, '--url', url(noise), ...SHORT)).errors.malformed > 0);
  const silent = await raw(() => {});
  const late = await report(4, '--url', url(silent), '--timeout', '100ms', ...SHORT, '--duration', '1s');
  assert.ok(late.errors.timeout > 0);
  const allowed = await report(0, '--url', url(resets), '--max-errors', 1e9, ...SHORT);
  assert.ok(allowed.errors.reset > 0);
});

test('RESP commands are sent and checked', async () => {
  const { port } = await responder('resp');
  const resp = `resp://127.0.0.1:${port}`;
  const right = await report(0, '--url', resp, '--command', 'EXISTS bl:x', '--expect', ':0', '--pipeline', 16, ...SHORT);
  assert.ok(right.requests > 0);
  const wrong = await report(3, '--url', resp, '--command', 'EXISTS bl:x', '--expect', ':1', '--count', 10);
  assert.equal(wrong.wrong_answers, 10);
  assert.match(wrong.wrong_examples[0], /expected :1, got :0/);
});

test('a Unix socket is as good as a port', async () => {
  const file = path.join(folder, 'web.sock');
  await web((request, response) => response.end(request.headers.host), { path: file });
  assert.equal((await report(0, '--unix', file, '--count', 20)).requests, 20);
});

test('Ctrl-C ends a run with the report of what there is', async () => {
  const { port } = await responder('http');
  const child = start('portcullis-load', ['run', '--url', url(port), '--duration', '10m', '--warmup', '0', '--json']);
  await until('a second to be over', () => /1 of 600 s/.test(child.text.err));
  child.kill('SIGINT');
  assert.equal(await child.ended, 0);
  const found = JSON.parse(child.text.out);
  assert.equal(found.interrupted, true);
  assert.ok(found.requests > 0 && found.duration_s < 300);
  assert.ok(found.series.length >= 1 && found.series[0].rate_per_s > 0);
  assert.match(child.text.err, /\/s  p50 .*p99 .*errors 0  wrong 0/);
});

test('what cannot be begun is said clearly', async () => {
  const rows = [
    [[], 2, /--url is needed/],
    [['--url', 'ftp://x'], 2, /must begin with http:\/\/ or resp:\/\//],
    [['--url', 'https://x'], 2, /TLS is not spoken yet/],
    [['--url', 'http://127.0.0.1:99999/'], 2, /is not a port/],
    [['--url', 'http://x/', '--rate', 'fast'], 2, /--rate/],
    [['--url', 'http://x/', '--duration', '0'], 2, /--duration: 0 is not between/],
    [['--url', 'http://x/', '--arrivals', 'poisson'], 2, /--arrivals needs --rate/],
    [['--url', 'http://x/', '--connections', '2', '--threads', '3'], 2, /more than the 2 connections/],
    [['--url', 'http://x/', '--header', 'nothing'], 2, /is not 'NAME: VALUE'/],
    [['--url', 'resp://x'], 2, /needs --command or --requests/],
    [['--url', 'http://x/', '--nonsense'], 2, /there is no option --nonsense/],
    [['--url', 'http://x/', '--requests', '/nonexistent'], 2, /\/nonexistent: No such file/],
    [['--url', 'http://127.0.0.1:1/', ...SHORT], 1, /cannot connect to 127\.0\.0\.1:1: Connection refused/],
  ];
  for (const [args, status, text] of rows) {
    const done = await load(...args);
    assert.equal(done.status, status, `${args.join(' ')}: ${done.err}`);
    assert.match(done.err, text);
  }
  const file = path.join(folder, 'bad.requests');
  fs.writeFileSync(file, `${framed([['x', '*']])}17 200 GET`);
  assert.match((await load('--url', 'http://x/', '--requests', file)).err, /request 2 at byte 5/);
});
