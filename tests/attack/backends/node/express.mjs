import { report, ROUTES, filled } from './contract.mjs';

// Express 4 and 5 with what most applications add: cookies, method-override and form bodies.
export async function serve(port, version) {
  const { default: express } = await import(version);
  const { default: cookies } = await import('cookie-parser');
  const { default: override } = await import('method-override');
  const app = express();
  app.set('query parser', 'extended');
  app.use(express.urlencoded({ extended: true }), cookies());
  if (process.env.OVERRIDE) app.use(override('X-HTTP-Method-Override'), override('_method'));
  const done = (request, response, operation, path) =>
    response.json(report({
      operation, path, method: request.method, host: request.hostname, headers: request.headers,
      params: request.query, cookies: request.cookies,
    }));
  for (const [methods, pattern, operation, canonical] of ROUTES) {
    const named = version === 'express5' ? pattern.replace('*', '*rest') : pattern;
    for (const method of methods) {
      app[method.toLowerCase()](named, (request, response) =>
        done(request, response, operation, filled(canonical, { ...request.params, '*': request.params.rest ?? request.params[0] })));
    }
  }
  app.use((request, response) => done(request, response.status(404), 'none', null));
  app.use((error, request, response, next) => done(request, response.status(400), 'none', null));
  app.listen(port, '127.0.0.1');
}
