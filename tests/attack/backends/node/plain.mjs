import { createServer } from 'node:http';
import { report, ROUTES, filled } from './contract.mjs';

// Node's own server, with the two ways in which its users read a path. SPLIT: everything before the `?`, decoded. Otherwise:
// `new URL()`.
export async function serve(port) {
  const routes = ROUTES.map(([methods, pattern, operation, canonical]) => {
    const source = pattern.replace(/:(\w+)/g, '(?<$1>[^/]+)').replace('/*', '/(?<rest>.*)');
    return { methods, form: new RegExp(`^${source}$`), operation, canonical };
  });
  createServer((request, response) => {
    const body = [];
    request.on('data', (piece) => body.push(piece));
    request.on('end', () => {
      const host = request.headers.host ?? '';
      let operation = 'none';
      let path = null;
      let params = {};
      const method = request.method === 'HEAD' ? 'GET' : request.method;
      try {
        const url = process.env.SPLIT ? null : new URL(request.url, `http://${host || 'nowhere'}`);
        params = { access_token: url?.searchParams.getAll('access_token') };
        const text = url ? decodeURI(url.pathname) : decodeURIComponent(request.url.split('?')[0]);
        for (const route of routes) {
          const found = route.methods.includes(method) && route.form.exec(text);
          if (found) {
            operation = route.operation;
            path = filled(route.canonical, { ...found.groups, '*': found.groups?.rest });
            break;
          }
        }
      } catch {
        operation = 'none';
      }
      response.end(JSON.stringify(report({ operation, path, method, host, headers: request.headers, params })));
    });
  }).listen(port, '127.0.0.1');
}
