// The AWS SDK for Go, version 2, and minio-go, as Debian has them: `go run . aws` or `minio`.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

var bucket = os.Getenv("BUCKET")
var endpoint = os.Getenv("AWS_ENDPOINT_URL")
var ctx = context.Background()

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(got, expected []byte) {
	if !bytes.Equal(got, expected) {
		panic("other bytes than were written")
	}
}

func random(length int) []byte {
	some := make([]byte, length)
	_, err := rand.Read(some)
	check(err)
	return some
}

func fetch(method, url, body string) string {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	check(err)
	answer, err := http.DefaultClient.Do(request)
	check(err)
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	check(err)
	if answer.StatusCode != 200 {
		panic(method + ": " + answer.Status + string(got))
	}
	return string(got)
}

func withAws() {
	loaded, err := config.LoadDefaultConfig(ctx)
	check(err)
	client := s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = true
		o.EndpointResolver = s3.EndpointResolverFromURL(endpoint)
	})
	read := func(key string) []byte {
		got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		check(err)
		all, err := io.ReadAll(got.Body)
		check(err)
		return all
	}
	key, big := aws.String("go/a b+ü"), aws.String("go/big")
	_, err = client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: key, Body: strings.NewReader("hello")})
	check(err)
	equal(read(*key), []byte("hello"))
	some := random(11 << 20)
	_, err = manager.NewUploader(client).Upload(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: big, Body: bytes.NewReader(some)})
	check(err)
	equal(read(*big), some)
	listed, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &bucket, Prefix: aws.String("go/")})
	check(err)
	if len(listed.Contents) != 2 {
		panic("not two keys")
	}
	signer := s3.NewPresignClient(client)
	put, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: key})
	check(err)
	fetch("PUT", put.URL, "by URL")
	get, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: key})
	check(err)
	equal([]byte(fetch("GET", get.URL, "")), []byte("by URL"))
	for _, one := range []*string{key, big} {
		_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: one})
		check(err)
	}
	if _, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: key}); err == nil {
		panic("it is still there")
	}
}

func withMinio() {
	at, err := url.Parse(endpoint)
	check(err)
	client, err := minio.New(at.Host, &minio.Options{
		Creds: credentials.NewEnvAWS(), Region: os.Getenv("AWS_REGION")})
	check(err)
	read := func(key string) []byte {
		got, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		check(err)
		all, err := io.ReadAll(got)
		check(err)
		return all
	}
	_, err = client.PutObject(ctx, bucket, "mgo/a b", strings.NewReader("hello"), 5,
		minio.PutObjectOptions{})
	check(err)
	equal(read("mgo/a b"), []byte("hello"))
	// Of unknown length: in parts, whose chunks are signed.
	some := random(17 << 20)
	_, err = client.PutObject(ctx, bucket, "mgo/big", bytes.NewReader(some), -1,
		minio.PutObjectOptions{PartSize: 16 << 20})
	check(err)
	equal(read("mgo/big"), some)
	found := 0
	for one := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{
		Prefix: "mgo/", Recursive: true}) {
		check(one.Err)
		check(client.RemoveObject(ctx, bucket, one.Key, minio.RemoveObjectOptions{}))
		found++
	}
	if found != 2 {
		panic("not two keys")
	}
	if _, err = client.StatObject(ctx, bucket, "mgo/big", minio.StatObjectOptions{}); err == nil {
		panic("it is still there")
	}
}

func main() {
	map[string]func(){"aws": withAws, "minio": withMinio}[os.Args[1]]()
}
