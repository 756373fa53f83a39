// SPDX-License-Identifier: Apache-2.0
// portcullis-load sweep, plan, report and the pages they write: against a responder that does
// nothing and a file of points, with an XML parser that is not ours, and with names from outside.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BIN, scratch } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const folder = scratch('planner');
const file = (name) => path.join(folder, name);
const POINTS = new URL('../fuzz/corpus/load_points/whole.json', import.meta.url).pathname;
const ASKED = ['--target', '2000000/s', '--slo', 'p99<1ms', '--tokens', '50000000', '--revoked', '5000000',
  '--limit-keys', '10000000', '--nodes-lost', '1', '--revocations', '100/s', '--points', POINTS];
let responder;
let port;

before(async () => {
  responder = spawn(path.join(BIN, 'perf-uring-responder'), ['http', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  responder.stdout.on('data', (bytes) => { text += bytes; });
  await until('a port', () => text.includes('\n'));
  port = Number(text);
});
after(() => responder.kill('SIGKILL'));

function load(...args) {
  const done = spawnSync(path.join(BIN, 'portcullis-load'), args.map(String), { encoding: 'utf8', timeout: 120_000 });
  return { status: done.status, out: done.stdout, err: done.stderr };
}

// Where the server lives in this process, it must be able to answer meanwhile.
function loadBeside(...args) {
  const child = spawn(path.join(BIN, 'portcullis-load'), args.map(String), { stdio: ['ignore', 'ignore', 'pipe'] });
  return new Promise((resolve) => { child.on('close', resolve); });
}

// A well-formed page with its charts described, that loads nothing.
function page(name) {
  const text = fs.readFileSync(file(name), 'utf8');
  const found = JSON.parse(execFileSync('python3', ['-c', `
import json, sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
charts = [e for e in root.iter("svg")]
assert all(c.get("role") == "img" and c.find("title").text and c.find("desc").text for c in charts)
ids = [e.get("id") for e in root.iter() if e.get("id")]
assert len(ids) == len(set(ids)), ids
assert all(i in ids for c in charts for i in c.get("aria-labelledby").split())
print(json.dumps({"charts": [c.find("title").text for c in charts], "tables": len(list(root.iter("table"))),
                  "scripts": len(list(root.iter("script"))), "text": " ".join(root.itertext())}))`, file(name)],
  { encoding: 'utf8', maxBuffer: 64 << 20 }));
  assert.equal(found.scripts, 0);
  assert.doesNotMatch(text, /src=|href=|url\(|@import/);
  assert.match(text, /prefers-color-scheme:\s*dark/);
  return found;
}

test('a sweep finds a rate and says how sure it is', () => {
  const done = load('sweep', '--url', `http://127.0.0.1:${port}/`, '--slo', 'p50<1s,errors<=50%', '--from', '50/s', '--to', '200/s',
    '--step-factor', '2', '--repeats', '1', '--far-retries', '0', '--duration', '200ms', '--warmup', '20ms', '--connections', '2',
    '--json', file('sweep.json'), '--html', file('sweep.html'));
  assert.ok(done.status === 0 || done.status === 1, done.err);
  const found = JSON.parse(fs.readFileSync(file('sweep.json')));
  assert.equal(found.format, 'portcullis-sweep/1');
  assert.equal(found.steps.length > 0 && found.runs.length >= found.steps.length, true);
  assert.equal(found.steps[0].rate_per_s, 50);
  for (const run of found.runs) {
    assert.ok(run.requests > 0 && run.wrong_answers === 0);
    assert.equal(run.held, run.why_not === null);
  }
  assert.match(found.result, /p50<1s/);
  assert.match(found.command, /^portcullis-load sweep .*--slo 'p50<1s/);
  const html = page('sweep.html');
  assert.ok(html.charts.includes('Throughput against latency'));
  assert.match(html.text, /no coordinated omission/);
});

test('an objective that no server meets holds at no rate', () => {
  const done = load('sweep', '--url', `http://127.0.0.1:${port}/`, '--slo', 'p50<1ns', '--from', '50/s', '--step-factor', '100',
    '--repeats', '1', '--far-retries', '0', '--duration', '100ms', '--warmup', '10ms');
  assert.equal(done.status, 1, done.err);
  assert.match(done.out, /holds at no rate/);
});

test('a saved sweep becomes the same page, and one that was changed is refused', () => {
  assert.equal(load('report', file('sweep.json'), '--html', file('again.html')).status, 0);
  assert.equal(fs.readFileSync(file('again.html'), 'utf8'), fs.readFileSync(file('sweep.html'), 'utf8'));
  const found = JSON.parse(fs.readFileSync(file('sweep.json')));
  found.runs[0].asked_per_s = 7;
  fs.writeFileSync(file('changed.json'), JSON.stringify(found));
  const refused = load('report', file('changed.json'));
  assert.equal(refused.status, 2);
  assert.match(refused.err, /run 1 was at 7\/s; the search was at 50\/s/);
});

test('a run becomes a page, straight away and from its JSON', () => {
  const done = load('run', '--url', `http://127.0.0.1:${port}/`, '--rate', '300', '--duration', '2500ms', '--warmup', '100ms',
    '--server-pid', responder.pid, '--json', file('run.json'), '--html', file('run.html'), '--quiet');
  assert.equal(done.status, 0, done.err);
  const html = page('run.html');
  for (const title of ['Latency by percentile', 'Rate over time', 'Latency over time']) assert.ok(html.charts.includes(title), title);
  assert.match(html.text, /Server CPU/);
  assert.match(html.text, /portcullis-load run --url/);
  assert.equal(load('report', file('run.json'), '--html', file('run-again.html')).status, 0);
  assert.deepEqual(page('run-again.html').charts, html.charts);
});

test('wrong answers stand first on a page, and what a stranger wrote stays text', async () => {
  const server = http.createServer((_, response) => { response.writeHead(500, '<img src=x>'); response.end('<script>alert(1)</script>'); });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  try {
    const status = await loadBeside('run', '--url', `http://127.0.0.1:${server.address().port}/?<b>&'"`, '--duration', '200ms',
      '--warmup', '10ms', '--connections', '1', '--html', file('wrong.html'), '--quiet');
    assert.equal(status, 3);
    const html = page('wrong.html');
    assert.match(html.text, /wrong answers of/);
    assert.match(html.text, /coordinated omission/); /* a closed loop is labelled */
    assert.doesNotMatch(fs.readFileSync(file('wrong.html'), 'utf8'), /<script|<img|<b>&/);
  } finally {
    server.close();
  }
});

test('a plan answers in nodes, cores, memory, network and names where it goes beyond the points', () => {
  const done = load('plan', ...ASKED, '--html', file('plan.html'));
  assert.equal(done.status, 0, done.err);
  for (const said of [/nodes +\d+ \(1 may be lost\)/, /cores +\d+, 8 per node/, /memory per node/, /network per node +in /,
    /revocation fan-out/, /journal disk/, /What breaks first/, /Universal Scalability Law/, /R2 [\d.]+, error rms/,
    /\[cores-beyond-measured\] 8 cores per node; measured up to 2/, /predicted .* measured/]) assert.match(done.out, said);
  const html = page('plan.html');
  assert.deepEqual(html.charts, ['What breaks first', 'Capacity of a node over its cores', 'Latency over load']);
  const json = JSON.parse(load('plan', ...ASKED, '--json').out);
  assert.equal(json.format, 'portcullis-plan/1');
  assert.ok(done.out.includes(`nodes                   ${json.answer.nodes} `));
  assert.equal(json.warnings.length, done.out.match(/^ {2}\[[\w-]+\] /gm).length);
  const fewer = JSON.parse(load('plan', ...ASKED, '--cores-per-token', '1', '--json').out);
  assert.ok(fewer.answer.nodes < json.answer.nodes);
});

test('a plan that does not hold, or an objective below the floor, is told by the exit status', () => {
  const few = load('plan', ...ASKED, '--nodes', '3', '--cores-per-node', '2');
  assert.equal(few.status, 1);
  assert.match(few.out, /NOT ENOUGH/);
  assert.match(few.out, /\[exceeds-cpu\]/);
  const tight = load('plan', ...ASKED.map((word) => (word === 'p99<1ms' ? 'p99<100us' : word)));
  assert.equal(tight.status, 1);
  assert.match(tight.out, /\[objective-below-floor\]/);
});

test('what cannot be planned is refused by name', () => {
  const points = file('bad.json');
  fs.writeFileSync(points, fs.readFileSync(POINTS, 'utf8').replace('"cpu_us": 4.7', '"cpu_us": -1'));
  const rows = [
    [[...ASKED, '--points', points], /bad\.json: cpu\[1\]\.cpu_us: -1 is not between/],
    [[...ASKED, '--points', file('none.json')], /none\.json: No such file/],
    [[...ASKED, '--nodes-lost', 'x'], /--nodes-lost: 'x' is not a quantity/],
    [[...ASKED, '--nodes-lost', '1.5'], /--nodes-lost: '1.5' is not a whole number/],
    [[...ASKED, '--frobnicate', '1'], /there is no option '--frobnicate'/],
    [[...ASKED, '--revoked'], /--revoked: needs a value/],
    [['--target', '1/s'], /--slo: missing/],
    [['--target', '1/s', '--slo', 'p99'], /objective 'p99': has no '<'/],
    [['--slo', 'p99<1s', '--points', POINTS], /--target: not above zero/],
    [[...ASKED, '--html', '/nonexistent/x.html'], /\/nonexistent\/x\.html/],
  ];
  for (const [args, said] of rows) {
    const done = load('plan', ...args);
    assert.equal(done.status, 2, args.join(' '));
    assert.match(done.err, said);
  }
  for (const [args, said] of [[['--slo', 'p99<1ms', '--repeats', '2'], /--repeats: not an odd number/], [['--slo', 'fast'], /objective/],
    [['--slo', 'p99<1ms', '--rate', '5'], /--rate: the sweep chooses it/], [[], /--slo: missing/]]) {
    const done = load('sweep', '--url', `http://127.0.0.1:${port}/`, ...args);
    assert.equal(done.status, 2, args.join(' '));
    assert.match(done.err, said);
  }
  assert.equal(load('report', file('none.json')).status, 2);
  assert.equal(load('report').status, 2);
});
