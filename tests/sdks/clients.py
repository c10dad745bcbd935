"""Python's clients, each doing a small day's work in a bucket: `clients.py NAME`."""

import io
import os
import sys
import urllib.error
import urllib.request

BUCKET, ENDPOINT = os.environ["BUCKET"], os.environ["AWS_ENDPOINT_URL"]
# Not set where a test wants to know what happens then.
REGION = os.environ.get("AWS_REGION")
KEY, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
BIG = os.urandom(11 << 20)


def region(name):
    """A setting of this name, where a region is set."""
    return {name: REGION} if REGION else {}


def boto3():
    boto3_requests()
    boto3_presigned()


def boto3_requests():
    import boto3
    from botocore.exceptions import ClientError

    s3 = boto3.client("s3")
    s3.put_object(Bucket=BUCKET, Key="b3/a b+ü", Body=b"hello", Metadata={"a": "1"})
    assert s3.head_object(Bucket=BUCKET, Key="b3/a b+ü")["Metadata"] == {"a": "1"}
    assert s3.get_object(Bucket=BUCKET, Key="b3/a b+ü")["Body"].read() == b"hello"
    s3.upload_fileobj(io.BytesIO(BIG), BUCKET, "b3/big")
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, "b3/big", back)
    assert back.getvalue() == BIG
    s3.copy({"Bucket": BUCKET, "Key": "b3/big"}, BUCKET, "b3/copy")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix="b3/")["Contents"]]
    assert keys == ["b3/a b+ü", "b3/big", "b3/copy"], keys
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
    try:
        s3.head_object(Bucket=BUCKET, Key="b3/big")
        raise AssertionError("it is still there")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "404"


def boto3_presigned():
    import boto3

    s3 = boto3.client("s3")
    url = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "b3/a b+ü"})
    try:
        urllib.request.urlopen(urllib.request.Request(url, b"hello", method="PUT"), timeout=30)
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
    url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "b3/a b+ü"})
    assert urllib.request.urlopen(url, timeout=30).read() == b"hello"
    form = s3.generate_presigned_post(BUCKET, "b3/form")
    assert form["fields"]["key"] == "b3/form"
    s3.delete_object(Bucket=BUCKET, Key="b3/a b+ü")


def minio():
    from minio import Minio
    from minio.deleteobjects import DeleteObject
    from minio.error import S3Error

    client = Minio(endpoint=ENDPOINT.removeprefix("http://"), access_key=KEY, secret_key=SECRET,
                   secure=False, region=REGION)
    client.put_object(bucket_name=BUCKET, object_name="mpy/a b", data=io.BytesIO(b"hello"), length=5)
    assert client.get_object(bucket_name=BUCKET, object_name="mpy/a b").data == b"hello"
    client.put_object(bucket_name=BUCKET, object_name="mpy/big", data=io.BytesIO(BIG), length=-1,
                      part_size=5 << 20)
    assert client.get_object(bucket_name=BUCKET, object_name="mpy/big").data == BIG
    url = client.presigned_get_object(bucket_name=BUCKET, object_name="mpy/a b")
    assert urllib.request.urlopen(url, timeout=30).read() == b"hello"
    listed = client.list_objects(bucket_name=BUCKET, prefix="mpy/", recursive=True)
    keys = [one.object_name for one in listed]
    assert keys == ["mpy/a b", "mpy/big"], keys
    gone = [DeleteObject(key) for key in keys]
    assert not list(client.remove_objects(bucket_name=BUCKET, delete_object_list=gone))
    try:
        client.stat_object(bucket_name=BUCKET, object_name="mpy/big")
        raise AssertionError("it is still there")
    except S3Error as error:
        assert error.code == "NoSuchKey", error


def obstore():
    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, client_options={"allow_http": True})
    obstore.put(store, "ob/a b", b"hello")
    assert bytes(obstore.get(store, "ob/a b").bytes()) == b"hello"
    obstore.put(store, "ob/big", BIG)
    assert bytes(obstore.get_range(store, "ob/big", start=5, end=9)) == BIG[5:9]
    try:
        obstore.put(store, "ob/a b", b"x", mode="create")
        raise AssertionError("it was there")
    except obstore.exceptions.AlreadyExistsError:
        pass
    obstore.copy(store, "ob/big", "ob/copy")
    obstore.rename(store, "ob/copy", "ob/moved")
    keys = sorted(one["path"] for one in obstore.list(store, "ob").collect())
    assert keys == ["ob/a b", "ob/big", "ob/moved"], keys
    obstore.delete(store, keys)
    assert not obstore.list(store, "ob").collect()


def opendal():
    import opendal

    store = opendal.Operator("s3", bucket=BUCKET, endpoint=ENDPOINT, **region("region"))
    store.write("od/a b", b"hello")
    assert bytes(store.read("od/a b")) == b"hello"
    store.write("od/big", BIG)
    assert bytes(store.read("od/big")) == BIG
    assert store.stat("od/big").content_length == len(BIG)
    store.copy("od/big", "od/copy")
    keys = sorted(one.path for one in store.list("od/") if not one.path.endswith("/"))
    assert keys == ["od/a b", "od/big", "od/copy"], keys
    for key in keys:
        store.delete(key)
    try:
        store.stat("od/big")
        raise AssertionError("it is still there")
    except opendal.exceptions.NotFound:
        pass


def crt():
    """The client of Mountpoint and of PyTorch's connector: Rust over AWS's common runtime."""
    from s3torchconnectorclient import S3Exception
    from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client

    s3 = MountpointS3Client(REGION or "us-east-1", endpoint=ENDPOINT, force_path_style=True)
    for key, data in (("crt/a b", b"hello"), ("crt/big", BIG)):
        writer = s3.put_object(BUCKET, key)
        writer.write(data)
        writer.close()
        assert b"".join(s3.get_object(BUCKET, key)) == data
        assert s3.head_object(BUCKET, key).size == len(data)
    s3.copy_object(BUCKET, "crt/big", BUCKET, "crt/copy")
    keys = [one.key for page in s3.list_objects(BUCKET, "crt/") for one in page.object_info]
    assert keys == ["crt/a b", "crt/big", "crt/copy"], keys
    for key in keys:
        s3.delete_object(BUCKET, key)
    try:
        s3.head_object(BUCKET, "crt/big")
        raise AssertionError("it is still there")
    except S3Exception:
        pass


def s3fs():
    import s3fs

    fs = s3fs.S3FileSystem(endpoint_url=ENDPOINT)
    root = f"{BUCKET}/fs"
    with fs.open(f"{root}/dir/a b", "wb") as out:
        out.write(b"hello")
    fs.pipe(f"{root}/big", BIG)
    assert fs.cat(f"{root}/dir/a b") == b"hello" and fs.cat_file(f"{root}/big") == BIG
    with fs.open(f"{root}/big", "rb") as back:
        back.seek(100)
        assert back.read(10) == BIG[100:110]
    fs.mv(f"{root}/big", f"{root}/moved")
    assert sorted(fs.find(root)) == [f"{root}/dir/a b", f"{root}/moved"]
    fs.rm(root, recursive=True)
    fs.invalidate_cache()
    assert not fs.exists(f"{root}/moved")


def deltalake():
    import pyarrow
    from deltalake import DeltaTable, write_deltalake

    at, options = f"s3://{BUCKET}/delta", {"AWS_ALLOW_HTTP": "true"}
    for n in range(3):
        rows = pyarrow.table({"n": list(range(n * 100, n * 100 + 100))})
        write_deltalake(at, rows, mode="append", storage_options=options)
    table = DeltaTable(at, storage_options=options)
    assert table.version() == 2
    assert sorted(table.to_pyarrow_table()["n"].to_pylist()) == list(range(300))
    table.delete("n < 100")
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert DeltaTable(at, storage_options=options).to_pyarrow_table().num_rows == 200


def icechunk():
    """The AWS SDK for Rust, inside a store of arrays with versions."""
    import icechunk
    import zarr

    storage = icechunk.s3_storage(bucket=BUCKET, prefix="ice", endpoint_url=ENDPOINT, allow_http=True,
                                  from_env=True, force_path_style=True, **region("region"))
    store = icechunk.Repository.create(storage)
    session = store.writable_session("main")
    array = zarr.group(store=session.store).create_array(
        "a", shape=(1000, 1000), chunks=(500, 500), dtype="i4")
    array[:] = 7
    first = session.commit("sevens")
    session = store.writable_session("main")
    zarr.open_group(session.store)["a"][0, :] = 8
    session.commit("and eights")
    now = icechunk.Repository.open(storage).readonly_session("main")
    assert int(zarr.open_group(now.store, mode="r")["a"][:2].sum()) == 15_000
    then = store.readonly_session(snapshot_id=first)
    assert int(zarr.open_group(then.store, mode="r")["a"][:2].sum()) == 14_000
    assert [one.message for one in store.ancestry(branch="main")][:2] == ["and eights", "sevens"]


def pyiceberg():
    import pyarrow
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("tests", **{
        "uri": "sqlite:///:memory:", "warehouse": f"s3://{BUCKET}/iceberg",
        "s3.endpoint": ENDPOINT, "s3.access-key-id": KEY, "s3.secret-access-key": SECRET,
        **region("s3.region"),
    })
    catalog.create_namespace("ns")
    rows = pyarrow.table({"n": list(range(100))})
    table = catalog.create_table("ns.t", schema=rows.schema)
    table.append(rows)
    table.append(rows)
    table.delete("n < 50")
    assert table.scan().to_arrow().num_rows == 100
    assert catalog.load_table("ns.t").scan("n == 70").to_arrow().num_rows == 2


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    # Threads of native libraries abort some interpreters as they end.
    sys.stdout.flush()
    os._exit(0)
