// SPDX-License-Identifier: Apache-2.0
// The application behind a gateway: answers with the request it got, as JSON. Usage: upstream.mjs PORT
import http from 'node:http';

const server = http.createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ method: request.method, path: request.url, headers: request.headers }));
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
