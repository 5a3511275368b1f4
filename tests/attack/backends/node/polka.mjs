import polka from 'polka';
import { report, ROUTES, filled } from './contract.mjs';

export async function serve(port) {
  const done = (request, response, operation, path) => {
    const host = request.headers.host;
    response.end(JSON.stringify(report({ operation, path, method: request.method, host, headers: request.headers, params: request.query })));
  };
  const app = polka({ onNoMatch: (request, response) => done(request, response, 'none', null) });
  for (const [methods, pattern, operation, canonical] of ROUTES) {
    for (const method of methods) {
      app.add(method, pattern, (request, response) =>
        done(request, response, operation, filled(canonical, { ...request.params, '*': request.params['*'] ?? request.params.wild })));
    }
  }
  app.listen(port, '127.0.0.1');
}
