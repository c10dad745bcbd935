// The AWS SDK for JavaScript, version 3, at its defaults but for the style of addresses.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as s3 from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const Bucket = process.env.BUCKET;
const client = new s3.S3Client({ forcePathStyle: true });
const send = (name, more) => client.send(new s3[`${name}Command`]({ Bucket, ...more }));
const text = async (Key, more) => (await send("GetObject", { Key, ...more })).Body.transformToString();

await send("PutObject", { Key: "js/a b+ü", Body: "hello", Metadata: { a: "1" } });
assert.equal((await send("HeadObject", { Key: "js/a b+ü" })).Metadata.a, "1");
assert.equal(await text("js/a b+ü"), "hello");
assert.equal(await text("js/a b+ü", { Range: "bytes=1-2" }), "el");
await send("CopyObject", { Key: "js/c", CopySource: `${Bucket}/${encodeURIComponent("js/a b+ü")}` });
assert.equal(await text("js/c"), "hello");
const listed = await send("ListObjectsV2", { Prefix: "js/" });
assert.deepEqual(listed.Contents.map((o) => o.Key), ["js/a b+ü", "js/c"]);

const bytes = randomBytes(11 << 20);
await new Upload({ client, params: { Bucket, Key: "js/big", Body: bytes } }).done();
const back = await (await send("GetObject", { Key: "js/big" })).Body.transformToByteArray();
assert.ok(bytes.equals(back));

const put = await getSignedUrl(client, new s3.PutObjectCommand({ Bucket, Key: "js/signed" }));
assert.equal((await fetch(put, { method: "PUT", body: "by URL" })).status, 200);
const get = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key: "js/signed" }));
assert.equal(await (await fetch(get)).text(), "by URL");
await assert.rejects(
  send("PutObject", { Key: "js/c", Body: "x", IfNoneMatch: "*" }), { name: "PreconditionFailed" });
const Objects = ["js/a b+ü", "js/c", "js/big", "js/signed"].map((Key) => ({ Key }));
assert.equal((await send("DeleteObjects", { Delete: { Objects } })).Deleted.length, 4);
await assert.rejects(send("HeadObject", { Key: "js/c" }), { name: "NotFound" });
