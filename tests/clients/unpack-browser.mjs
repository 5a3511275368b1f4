// Takes the browser out of the npm package `@sparticuz/chromium`, which carries it compressed with the libraries that a
// slim system lacks, into node_modules/.browser. Once, at installation: the tests start it from there.
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import tar from 'tar-fs';

const modules = new URL('./node_modules/', import.meta.url).pathname;
const packed = (name) => createReadStream(`${modules}@sparticuz/chromium/bin/${name}`);
const unfinished = `${modules}.browser.new`;
await rm(unfinished, { recursive: true, force: true });
await mkdir(unfinished);
await pipeline(packed('chromium.br'), createBrotliDecompress(), createWriteStream(`${unfinished}/chromium`, { mode: 0o755 }));
await pipeline(packed('al2023.tar.br'), createBrotliDecompress(), tar.extract(unfinished));
await pipeline(packed('fonts.tar.br'), createBrotliDecompress(), tar.extract(unfinished));
await rm(`${modules}.browser`, { recursive: true, force: true });
await rename(unfinished, `${modules}.browser`);
