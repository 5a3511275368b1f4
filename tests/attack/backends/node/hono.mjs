import { Hono } from 'hono';
import { getCookie } from 'hono/cookie';
import { serve as listen } from '@hono/node-server';
import { report, ROUTES, filled } from './contract.mjs';

export async function serve(port) {
  const app = new Hono();
  const done = (context, operation, path, status = 200) =>
    context.json(report({
      operation, path, method: context.req.method, host: new URL(context.req.url).host, headers: context.req.header(),
      params: context.req.queries(), cookies: getCookie(context),
    }), status);
  for (const [methods, pattern, operation, canonical] of ROUTES) {
    app.on(methods, pattern.replace('*', ':rest{.*}'), (context) =>
      done(context, operation, filled(canonical, { ...context.req.param(), '*': context.req.param('rest') })));
  }
  app.notFound((context) => done(context, 'none', null, 404));
  listen({ fetch: app.fetch, port, hostname: '127.0.0.1' });
}
