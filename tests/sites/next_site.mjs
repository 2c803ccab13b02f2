// Serves a site of Next.js's App Router as far as the recipe uses it: pages of React rendered here
// and hydrated in the browser, route handlers with web requests. FOLDER PORT NODE_MODULES
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const [folder, port, modules] = process.argv.slice(2);
const { buildSync } = createRequire(modules + "/")("esbuild");

const FILES = {
  "next/script.jsx": `
    export default function Script({ id, children }) {
      return <script id={id} dangerouslySetInnerHTML={{ __html: children }} />;
    }`,
  "lib/orders.js": `
    export const ORDER = {
      id: 1001, total: "49.90", email: "Jane.Doe@Example.com",
      lines: [{ productId: "teacup", quantity: 2, price: 24.95 }],
    };
    export async function placeOrder() { return ORDER; }`,
  "lib/contacts.js": "export async function saveContact() {}",
  "pages.jsx": process.env.GOAL === "leads" ? `
    import LeadForm from "@/components/lead-form";
    export const PAGES = { "/": <LeadForm /> };` : `
    import DoubletPurchase from "@/components/doublet-purchase";
    import { ORDER } from "@/lib/orders";
    export const PAGES = {
      "/": <form method="post" action="/api/order"><button>Buy</button></form>,
      "/thanks": <DoubletPurchase order={ORDER} />,
    };`,
  "client.jsx": `
    import { hydrateRoot } from "react-dom/client";
    import RootLayout from "@/app/layout";
    import { PAGES } from "@/pages";
    hydrateRoot(document, <RootLayout>{PAGES[location.pathname]}</RootLayout>);`,
  "server.jsx": `
    import { renderToString } from "react-dom/server";
    import RootLayout from "@/app/layout";
    import { PAGES } from "@/pages";
    import * as route from "@/app/api/${process.env.GOAL === "leads" ? "lead" : "order"}/route";
    export const post = route.POST;
    export const render = (path) =>
      PAGES[path] && renderToString(<RootLayout>{PAGES[path]}</RootLayout>);`,
};
for (const [name, text] of Object.entries(FILES)) {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
}

function build(name, options) {
  const { outputFiles } = buildSync({
    entryPoints: [join(folder, name)],
    bundle: true,
    write: false,
    jsx: "automatic",
    alias: { "@": folder, "next/script": join(folder, "next/script.jsx") },
    nodePaths: [modules],
    define: { "process.env.NODE_ENV": '"production"' },
    ...options,
  });
  return outputFiles[0].text;
}

const client = build("client.jsx", {});
writeFileSync(join(folder, "server.cjs"), build("server.jsx", { platform: "node" }));
const { post, render } = createRequire(folder + "/")("./server.cjs");

createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://site");
  const html = request.method === "GET" && render(pathname);
  if (request.method === "POST") {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    // As Next.js does, which sets the visitor's address itself.
    const headers = { ...request.headers, "x-forwarded-for": request.socket.remoteAddress };
    const url = `http://${request.headers.host}${request.url}`;
    const answer = await post(
      new Request(url, { method: "POST", headers, body: Buffer.concat(chunks) })
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(await answer.text());
  } else if (pathname === "/client.js") {
    response.writeHead(200, { "content-type": "text/javascript; charset=utf-8" }).end(client);
  } else if (html) {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    const script = '<script src="/client.js" defer></script></head>';
    response.end("<!doctype html>" + html.replace("</head>", script));
  } else response.writeHead(404).end();
}).listen(Number(port), "127.0.0.1");
