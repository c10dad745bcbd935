# The AWS SDK for Ruby, version 3, as Debian has it.
require "aws-sdk-s3"
require "net/http"
require "securerandom"

bucket = ENV.fetch("BUCKET")
client = Aws::S3::Client.new(endpoint: ENV.fetch("AWS_ENDPOINT_URL"), force_path_style: true)
same = ->(got, expected) { raise "#{got.inspect}, not #{expected.inspect}" if got != expected }
read = ->(key) { client.get_object(bucket: bucket, key: key).body.read }

client.put_object(bucket: bucket, key: "rb/a b+ü", body: "hello", metadata: { "a" => "1" })
same.(client.head_object(bucket: bucket, key: "rb/a b+ü").metadata, { "a" => "1" })
same.(read.("rb/a b+ü"), "hello")
bytes = SecureRandom.bytes(11 << 20)
object = Aws::S3::Object.new(bucket, "rb/big", client: client)
object.upload_stream { |out| out.binmode; out << bytes }
same.(read.("rb/big").b == bytes, true)
listed = client.list_objects_v2(bucket: bucket, prefix: "rb/").contents.map(&:key)
same.(listed, ["rb/a b+ü", "rb/big"])
put = URI(object.presigned_url(:put))
answer = Net::HTTP.start(put.host, put.port) { |at| at.put(put.request_uri, "by URL") }
same.(answer.code, "200")
same.(Net::HTTP.get(URI(object.presigned_url(:get))), "by URL")
deleted = client.delete_objects(
  bucket: bucket, delete: { objects: listed.map { |key| { key: key } } })
same.(deleted.deleted.size, 2)
begin
  client.head_object(bucket: bucket, key: "rb/big")
  raise "it is still there"
rescue Aws::S3::Errors::NotFound
end
