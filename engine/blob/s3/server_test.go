//go:build integration

package s3_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/blob/blobtest"
	"github.com/bramble-stream/bramble/engine/blob/s3"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// TestServer is against a real server: Versity's gateway over a directory.
func TestServer(t *testing.T) {
	server := testenv.S3(t)
	n := 0
	blobtest.Run(t, func(t *testing.T) blob.Store {
		n++
		bucket := fmt.Sprintf("bucket-%d", n)
		if err := makeBucket(t, server.Addr(), bucket); err != nil {
			t.Fatal(err)
		}
		s, err := s3.New(s3.Config{
			Endpoint: server.URL(), Bucket: bucket, Prefix: "p", AccessKey: testenv.S3AccessKey, SecretKey: testenv.S3SecretKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func makeBucket(t *testing.T, addr, bucket string) error {
	t.Helper()
	c, err := minio.New(addr, &minio.Options{
		Creds: credentials.NewStaticV4(testenv.S3AccessKey, testenv.S3SecretKey, ""), Transport: http.DefaultTransport,
	})
	if err != nil {
		return err
	}
	return c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{})
}
