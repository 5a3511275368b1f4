import restify from 'restify';
import { report, ROUTES, filled } from './contract.mjs';

export async function serve(port) {
  const app = restify.createServer();
  app.use(restify.plugins.queryParser({ mapParams: false }));
  const done = (request, response, operation, path) =>
    response.send(report({
      operation, path, method: request.method, host: request.headers.host, headers: request.headers, params: request.query,
      cookies: {},
    }));
  const verbs = { GET: ['get', 'head'], POST: ['post'], DELETE: ['del'] };
  for (const [methods, pattern, operation, canonical] of ROUTES) {
    for (const verb of methods.flatMap((method) => verbs[method])) {
      app[verb](pattern, (request, response, next) => {
        done(request, response, operation, filled(canonical, request.params));
        next();
      });
    }
  }
  app.on('restifyError', (request, response, error, next) => {
    report({ operation: 'none', path: null, method: request.method, host: '', headers: request.headers });
    next();
  });
  app.listen(port, '127.0.0.1');
}
