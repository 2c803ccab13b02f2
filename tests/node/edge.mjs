// Runs a Worker as Cloudflare's edge would: the visitor's address is in CF-Connecting-IP.
// Arguments: file of the Worker, port, file of key and certificate.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { pathToFileURL } from "node:url";

const [file, port, pem] = process.argv.slice(2);
const worker = (await import(pathToFileURL(file))).default;
const secret = readFileSync(pem);

async function answer(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const headers = new Headers(request.headers);
  headers.set("CF-Connecting-IP", request.socket.remoteAddress);
  for (const name of ["host", "connection", "content-length"]) headers.delete(name);
  const body = chunks.length ? Buffer.concat(chunks) : undefined;
  const address = `https://${request.headers.host}${request.url}`;
  const given = await worker.fetch(new Request(address, { method: request.method, headers, body }));
  const content = Buffer.from(await given.arrayBuffer());
  const sent = Object.fromEntries(given.headers);
  // What fetch() has decoded is no longer encoded.
  delete sent["content-encoding"];
  sent["content-length"] = content.length;
  if (given.headers.getSetCookie().length) sent["set-cookie"] = given.headers.getSetCookie();
  response.writeHead(given.status, sent).end(content);
}

createServer({ key: secret, cert: secret }, (request, response) =>
  answer(request, response).catch((error) => response.writeHead(500).end(String(error)))
).listen(Number(port), "127.0.0.1");
