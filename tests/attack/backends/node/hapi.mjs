import Hapi from '@hapi/hapi';
import { report, ROUTES, filled } from './contract.mjs';

export async function serve(port) {
  const app = Hapi.server({ port, host: '127.0.0.1' });
  app.state('access_token', { ignoreErrors: true, strictHeader: false });
  const done = (request, operation, path) =>
    report({
      operation, path, method: request.method.toUpperCase(), host: request.info.host, headers: request.headers,
      params: request.query, cookies: request.state,
    });
  for (const [method, pattern, operation, canonical] of ROUTES) {
    const named = pattern.replace(/:(\w+)/g, '{$1}').replace('*', '{rest*}');
    const handler = (request) => done(request, operation, filled(canonical, { ...request.params, '*': request.params.rest }));
    app.route({ method, path: named, handler, options: { state: { failAction: 'ignore' } } });
  }
  app.ext('onPreResponse', (request, toolkit) => {
    if (request.response.isBoom) done(request, 'none', null);
    return toolkit.continue;
  });
  await app.start();
}
