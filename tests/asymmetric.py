"""Requests with asymmetric signatures (SigV4A), signed by awscrt as the SDKs of AWS sign them."""

import datetime
import hashlib
import http.client
import io

import awscrt.auth
import awscrt.http
import boto3
from botocore.config import Config


def now(seconds=0):
    moved = datetime.timedelta(seconds=seconds)
    return datetime.datetime.now(datetime.timezone.utc) + moved


def client_for(endpoint, region, pair, kind="s3v4a", **config):
    """boto3 as a user sets it up."""
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name=region, aws_access_key_id=pair[0],
        aws_secret_access_key=pair[1], config=Config(
            signature_version=kind, retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"}, **config))


def signed(host, pair, regions, method, target, body=b"", headers=(), at=None, payload=None,
           token=None, expires=None, service="s3"):
    """The target and the headers of a signed request; with `expires` as a URL."""
    message = awscrt.http.HttpRequest(
        method, target, awscrt.http.HttpHeaders([("host", host), *headers]),
        io.BytesIO(body) if body else None)
    kind = awscrt.auth.AwsSignatureType
    added = awscrt.auth.AwsSignedBodyHeaderType
    config = awscrt.auth.AwsSigningConfig(
        algorithm=awscrt.auth.AwsSigningAlgorithm.V4_ASYMMETRIC,
        signature_type=kind.HTTP_REQUEST_QUERY_PARAMS if expires else kind.HTTP_REQUEST_HEADERS,
        credentials_provider=awscrt.auth.AwsCredentialsProvider.new_static(*pair, token),
        region=regions, service=service, date=at or now(), use_double_uri_encode=False,
        should_normalize_uri_path=False, expiration_in_seconds=expires,
        signed_body_value=payload or ("UNSIGNED-PAYLOAD" if expires else sha256(body)),
        signed_body_header_type=added.NONE if expires else added.X_AMZ_CONTENT_SHA_256)
    awscrt.auth.aws_sign_request(message, config).result()
    return message.path, {name.lower(): value for name, value in message.headers}


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def send(endpoint, method, target, headers, body=b""):
    """(status, body) of a request as it is."""
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name != "content-length":
                connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
