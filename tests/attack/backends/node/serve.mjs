// Runs one framework: serve.mjs FRAMEWORK PORT.
const [framework, port] = process.argv.slice(2);
const file = framework.replace(/\d+$/, '');
const { serve } = await import(`./${file}.mjs`);
await serve(Number(port), framework);
