// Runs one framework: serve.mjs FRAMEWORK PORT.
const [framework, port] = process.argv.slice(2);
const file = framework.replace(/\d+$/, '');
const { serve } = await import(`./${file}.mjs`);
// A socket's path serves too.
await serve(Number(port) || port, framework);
