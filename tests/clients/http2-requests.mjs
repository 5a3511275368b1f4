// Sends HTTP/2 requests without TLS (prior knowledge), trailers included, all at the same time.
//
// Standard input: a JSON list of {"port", "method", "path", "headers": {name: value}, "chunks": [text], "trailers": {name:
// value}}; a request with neither chunks nor trailers ends with its header. Standard output: a JSON list of {"status",
// "headers", "body"}, or {"error"} where there was no response.

import http2 from 'node:http2';
import { text } from 'node:stream/consumers';

const TIMEOUT_MS = 60_000;

function send({ port, method, path, headers = {}, chunks = [], trailers = {} }) {
  return new Promise((resolve) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    const finish = (result) => {
      resolve(result);
      session.destroy();
    };
    session.on('error', (fault) => finish({ error: fault.message }));
    const hasTrailers = Object.keys(trailers).length > 0;
    const stream = session.request(
      { ':method': method, ':path': path, ':authority': 'api.acme.com', ...headers },
      { endStream: chunks.length === 0 && !hasTrailers, waitForTrailers: hasTrailers },
    );
    const response = { status: 0, headers: {}, body: '' };
    stream.setEncoding('utf8');
    stream.setTimeout(TIMEOUT_MS, () => finish({ error: 'no response in time' }));
    stream.on('error', (fault) => finish({ error: fault.message }));
    stream.on('response', (fields) => {
      const { ':status': status, ...rest } = fields;
      response.status = status;
      response.headers = rest;
    });
    stream.on('data', (piece) => {
      response.body += piece;
    });
    stream.on('end', () => finish(response));
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    chunks.forEach((chunk) => stream.write(chunk));
    stream.end();
  });
}

const requests = JSON.parse(await text(process.stdin));
console.log(JSON.stringify(await Promise.all(requests.map(send))));
