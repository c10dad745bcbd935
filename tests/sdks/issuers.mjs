// Identity providers (OpenID Connect) for tests: each line on standard input is an order, and each
// line on standard output the answer to it. Keys are made here, and never leave it but to be
// misused by the tests that forge tokens.
import { createHmac, createPublicKey } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createSecure } from "node:https";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// Standard output is for answers.
console.log = console.info = console.warn = console.error;

const from = createRequire(`${process.env.NODE_MODULES}/`);
const load = (name) => import(pathToFileURL(from.resolve(name)));
const { default: Provider } = await load("oidc-provider");
const jose = await load("jose");

const issuers = [];

async function key(alg, kid) {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { ...(await jose.exportJWK(privateKey)), alg, kid, use: "sig" };
}

// Each provider of the console has its own.
const CONSOLE = ["acme", "annas", "claims", "elliptic", "away"].map(
  (name) => `http://127.0.0.1/signin/return/${name}`);

function client(id, alg) {
  return {
    client_id: id, client_secret: "a secret of this client", application_type: "native",
    redirect_uris: ["http://127.0.0.1/back", ...CONSOLE],
    id_token_signed_response_alg: alg,
  };
}

let made = 0;

async function start(issuer) {
  made += 1;
  issuer.keys = [await key("RS256", `rsa-${made}`), await key("ES256", `ec-${made}`)];
  const provider = new Provider(issuer.url, {
    clients: [client("dhow", "RS256"), client("dhow-es", "ES256"), client("elsewhere", "RS256")],
    cookies: { keys: ["a key of cookies"] },
    claims: { openid: ["sub", "dhow_role", "email"] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({
      accountId: id, claims: () => ({ sub: id, ...issuer.people?.[id] }),
    }),
    features: { devInteractions: { enabled: true } },
    jwks: { keys: issuer.keys },
  });
  const answer = provider.callback();
  const counted = (request, response) => {
    issuer.reached += 1;
    if (request.url.startsWith("/jwks")) issuer.asked += 1;
    if (issuer.answers) return issuer.answers(request, response);
    return answer(request, response);
  };
  issuer.server = issuer.tls
    ? createSecure({ cert: readFileSync(issuer.tls.cert), key: readFileSync(issuer.tls.key) }, counted)
    : createServer(counted);
  await new Promise((done) => issuer.server.listen(issuer.port, "127.0.0.1", done));
}

async function stop(issuer) {
  issuer.server.closeAllConnections();
  await new Promise((done) => issuer.server.close(done));
}

async function free() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

const orders = {
  async start({ tls }) {
    const port = await free();
    const url = tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
    const issuer = { port, url, tls, asked: 0, reached: 0 };
    await start(issuer);
    issuers.push(issuer);
    return { n: issuers.length - 1, url };
  },
  // Other keys at the same place.
  async rotate({ n }) {
    await stop(issuers[n]);
    await start(issuers[n]);
    return {};
  },
  // What the provider says of a person beside their name.
  async person({ n, name, claims }) {
    issuers[n].people = { ...issuers[n].people, [name]: claims };
    return {};
  },
  async stop({ n }) {
    await stop(issuers[n]);
    return {};
  },
  asked: async ({ n }) => ({ asked: issuers[n].asked, reached: issuers[n].reached }),
  // Answers everything in another way: a redirect, too much, or nothing at all.
  async answers({ n, how }) {
    const { url } = issuers[n];
    issuers[n].answers = {
      redirect: (_, response) => response.writeHead(302, { location: `${url}/elsewhere` }).end(),
      large: (_, response) => response.end(JSON.stringify({ issuer: url, x: "x".repeat(70000) })),
      other: (_, response) => response.end(JSON.stringify(
        { issuer: "http://127.0.0.1:1", jwks_uri: `${url}/jwks` })),
      "keys elsewhere": (_, response) => response.end(JSON.stringify(
        { issuer: url, jwks_uri: "http://127.0.0.1:1/jwks" })),
      truth: undefined,
    }[how];
    return {};
  },
  // A token with this head and these claims, signed as the head says with a key of the issuer.
  async sign({ n, head, claims, by }) {
    const { keys } = issuers[by ?? n];
    const own = keys.find(({ alg }) => alg === head.alg) ?? keys[0];
    if (!["RS256", "ES256"].includes(head.alg)) {
      // With the public key as the secret, in one of the forms that some library took.
      const { form, ...rest } = head;
      const open = createPublicKey({ key: { kty: own.kty, n: own.n, e: own.e }, format: "jwk" });
      const secret = open.export({ type: "spki", format: form ?? "pem" });
      const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const signed = `${text({ kid: own.kid, ...rest })}.${text(claims)}`;
      const mac = createHmac("sha256", secret).update(signed).digest("base64url");
      return { token: `${signed}.${mac}` };
    }
    const signer = new jose.SignJWT(claims);
    signer.setProtectedHeader({ kid: own.kid, ...head });
    return { token: await signer.sign(await jose.importJWK(own, head.alg)) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...more } = JSON.parse(line);
  const answer = await orders[order](more).catch((error) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
