// SPDX-License-Identifier: Apache-2.0
// A reporter for node:test that prints one line per test, which tests/suite.py counts:
//   PASS name | FAIL name | SKIP name -- reason
// A failure is followed by what was expected, indented.
const indent = (text) => String(text).split('\n').map((line) => `    ${line}`).join('\n');

function why(error) {
  const cause = error?.cause ?? error;
  return cause?.stack ?? cause?.message ?? String(cause);
}

export default async function* report(source) {
  for await (const event of source) {
    const { data } = event;
    if (event.type === 'test:stdout' || event.type === 'test:stderr') yield data.message;
    if (event.type === 'test:diagnostic' && data.nesting > 0) yield `# ${data.message}\n`;
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    // A file is reported as a test too; it counts only if it failed by itself.
    const isFile = data.name.endsWith('.mjs');
    if (data.details?.type === 'suite' && event.type === 'test:pass') continue;
    if (event.type === 'test:pass') {
      if (isFile) continue;
      const reason = data.skip ?? data.todo;
      yield reason === undefined ? `PASS ${data.name}\n` : `SKIP ${data.name} -- ${reason}\n`;
    } else {
      yield `FAIL ${data.name}\n${indent(why(data.details?.error))}\n`;
    }
  }
}
