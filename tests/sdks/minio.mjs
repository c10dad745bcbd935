// minio-js.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { Client } from "minio";

const bucket = process.env.BUCKET;
const at = new URL(process.env.AWS_ENDPOINT_URL);
const client = new Client({
  endPoint: at.hostname, port: Number(at.port), useSSL: false,
  region: process.env.AWS_REGION, partSize: 8 << 20,
  accessKey: process.env.AWS_ACCESS_KEY_ID, secretKey: process.env.AWS_SECRET_ACCESS_KEY,
});
const bytes = async (key) => buffer(await client.getObject(bucket, key));

assert.ok(await client.bucketExists(bucket));
await client.putObject(bucket, "mjs/a b", "hello");
assert.equal((await bytes("mjs/a b")).toString(), "hello");
assert.equal((await client.statObject(bucket, "mjs/a b")).size, 5);
const big = randomBytes(11 << 20);
await client.putObject(bucket, "mjs/big", big, big.length);
assert.ok(big.equals(await bytes("mjs/big")));
const url = await client.presignedPutObject(bucket, "mjs/signed", 60);
assert.equal((await fetch(url, { method: "PUT", body: "by URL" })).status, 200);
const got = await fetch(await client.presignedGetObject(bucket, "mjs/signed", 60));
assert.equal(await got.text(), "by URL");
const keys = [];
for await (const one of client.listObjectsV2(bucket, "mjs/", true)) keys.push(one.name);
assert.deepEqual(keys, ["mjs/a b", "mjs/big", "mjs/signed"]);
await client.removeObjects(bucket, keys);
await assert.rejects(client.statObject(bucket, "mjs/big"), { code: "NotFound" });
