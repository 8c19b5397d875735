// Package s3 is checkpoint storage in a bucket of S3 or what speaks its protocol. It is apart from blob so that only programs that offer
// it link its client; it makes no buckets, and waits for no server that is away.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/bramble-stream/bramble/engine/blob"
)

// Config says where a bucket is and who asks. Never print it.
type Config struct {
	// Endpoint is a URL, https://s3.amazonaws.com by default.
	Endpoint string
	Region   string
	Bucket   string
	// Prefix is before the names of all objects, without slashes at its ends; empty for none.
	Prefix string
	// AccessKey and SecretKey empty: anonymous.
	AccessKey, SecretKey, SessionToken string
	// PathStyle puts the bucket into the path (host/bucket/…) not the host name. Endpoints other than Amazon's have it by default.
	PathStyle bool
	// Transport replaces HTTP's, for tests and own certificates.
	Transport http.RoundTripper
}

// multipartBytes is from which size on objects are sent in parts, each held in memory: most table files go in one stream, without.
const multipartBytes = 64 << 20

// partBytes is the size of a part: 10,000 of them make 156 GiB.
const partBytes = 16 << 20

// Store is a blob.Store in a bucket. A Put is one request, or a multipart upload that shows itself when complete.
//
// CreateExclusive is a PUT with If-None-Match: *, where the server honours it; the first call of a process finds out. Where it does not,
// a caller writes a claim of its own beside the name and lists the claims: alone, it has the name for ever; with another, it gives its own
// up and reports blob.ErrExists. As listings are consistent (Amazon's since 2020, MinIO's, Ceph's, Garage's), of two that are there at
// once each sees the other, or one of them: both may lose, never both win.
type Store struct {
	client *minio.Client
	bucket string
	prefix string
	// condition holds what is known about the server.
	condition struct {
		sync.Mutex
		known, honoured bool
	}
}

var (
	_ blob.Store  = (*Store)(nil)
	_ blob.Opener = Open
)

// Open opens s3://bucket/prefix. Settings, each as option, environment or (but for secrets) query of the URI:
//
//	s3.endpoint    AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL   ?endpoint=
//	s3.region      AWS_REGION, AWS_DEFAULT_REGION          ?region=
//	s3.path-style                                          ?path-style=true
//	s3.access-key  AWS_ACCESS_KEY_ID
//	s3.secret-key  AWS_SECRET_ACCESS_KEY
//	s3.session-token AWS_SESSION_TOKEN
func Open(_ context.Context, u *url.URL, o blob.Options) (blob.Store, error) {
	q := u.Query()
	c := Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	var pathStyle string
	for _, f := range []struct {
		to    *string
		key   string
		query bool
		env   []string
	}{
		{&c.Endpoint, "endpoint", true, []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}},
		{&c.Region, "region", true, []string{"AWS_REGION", "AWS_DEFAULT_REGION"}},
		{&pathStyle, "path-style", true, nil},
		{&c.AccessKey, "access-key", false, []string{"AWS_ACCESS_KEY_ID"}},
		{&c.SecretKey, "secret-key", false, []string{"AWS_SECRET_ACCESS_KEY"}},
		{&c.SessionToken, "session-token", false, []string{"AWS_SESSION_TOKEN"}},
	} {
		if q.Has(f.key) && f.query {
			*f.to = q.Get(f.key)
			q.Del(f.key)
			continue
		}
		v, err := o.Value("s3."+f.key, f.env...)
		if err != nil {
			return nil, err
		}
		*f.to = v
	}
	for k := range q {
		return nil, fmt.Errorf("%w: storage location s3://%s%s has parameter %q; known are endpoint, region and path-style", blob.ErrPermanent, u.Host, u.Path, k)
	}
	c.PathStyle = pathStyle == "true"
	return New(c)
}

// New returns the store of a configuration. It does not connect.
func New(c Config) (*Store, error) {
	where := "s3://" + c.Bucket + "/" + c.Prefix
	if c.Bucket == "" {
		return nil, fmt.Errorf("%w: storage location %s names no bucket", blob.ErrPermanent, where)
	}
	if c.Prefix != "" {
		if err := blob.CheckName(c.Prefix); err != nil {
			return nil, fmt.Errorf("storage location %s: %w", where, err)
		}
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return nil, fmt.Errorf("%w: storage location %s: one of access key and secret key is missing", blob.ErrPermanent, where)
	}
	if c.Endpoint == "" {
		c.Endpoint = "https://s3.amazonaws.com"
	}
	e, err := url.Parse(c.Endpoint)
	if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || strings.Trim(e.Path, "/") != "" || e.User != nil {
		return nil, fmt.Errorf("%w: s3.endpoint must be http(s)://host[:port]", blob.ErrPermanent)
	}
	lookup := minio.BucketLookupAuto
	if c.PathStyle || !strings.HasSuffix(e.Hostname(), ".amazonaws.com") {
		lookup = minio.BucketLookupPath
	}
	region := c.Region
	if region == "" {
		region = "us-east-1" // what servers other than Amazon's take, and saves a request for the location
	}
	client, err := minio.New(e.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken),
		Secure:       e.Scheme == "https",
		Region:       region,
		BucketLookup: lookup,
		Transport:    c.Transport,
		MaxRetries:   1, // blob.Retry does that, bounded for all kinds alike
	})
	if err != nil {
		return nil, fmt.Errorf("storage location %s: %w", where, err)
	}
	s := &Store{client: client, bucket: c.Bucket}
	if c.Prefix != "" {
		s.prefix = c.Prefix + "/"
	}
	return s, nil
}

// String is the location, without secrets.
func (s *Store) String() string { return "s3://" + s.bucket + "/" + s.prefix }

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, c blob.Content) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	return s.put(ctx, name, c, minio.PutObjectOptions{})
}

func (s *Store) put(ctx context.Context, name string, c blob.Content, o minio.PutObjectOptions) error {
	r, err := c.Open()
	if err != nil {
		return fmt.Errorf("put %s: open content: %w", name, err)
	}
	o.PartSize, o.DisableMultipart = partBytes, c.SizeBytes < multipartBytes
	counted := &countReader{r: r, left: c.SizeBytes}
	_, err = s.client.PutObject(ctx, s.bucket, s.prefix+name, counted, c.SizeBytes, o)
	if err == nil && !counted.ended() {
		err = fmt.Errorf("%w: content is longer than %d bytes", blob.ErrPermanent, c.SizeBytes)
	}
	if counted.short {
		err = errors.Join(fmt.Errorf("%w: content is shorter than %d bytes", blob.ErrPermanent, c.SizeBytes), err)
	}
	if err = errors.Join(kindOf(err), r.Close()); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// countReader hides whatever else r can do, and sees that its length is right.
type countReader struct {
	r     io.Reader
	left  int64
	short bool
}

func (r *countReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		r.short = true
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// ended reports whether nothing was left over.
func (r *countReader) ended() bool {
	if r.left < 0 {
		return false
	}
	var b [1]byte
	n, _ := io.ReadFull(r.r, b[:]) // that it fails is the end
	return n == 0
}

// kindOf adds the sentinel that the error stands for.
func kindOf(err error) error {
	if err == nil {
		return nil
	}
	e := minio.ToErrorResponse(err)
	switch e.Code {
	case "NoSuchKey":
		return errors.Join(blob.ErrNotExist, err)
	case "PreconditionFailed":
		return errors.Join(blob.ErrExists, err)
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "InvalidBucketName", "AuthorizationHeaderMalformed",
		"ExpiredToken", "InvalidToken":
		return errors.Join(blob.ErrPermanent, err)
	case "XMinioStorageFull", "QuotaExceeded", "InsufficientStorage":
		return errors.Join(blob.ErrFull, err)
	}
	return err
}

// CreateExclusive implements blob.Store.
func (s *Store) CreateExclusive(ctx context.Context, name string, content []byte) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	honoured, err := s.honours(ctx)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	if !honoured {
		if err := s.claim(ctx, name); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		return s.put(ctx, name, blob.Bytes(content), minio.PutObjectOptions{})
	}
	return s.putNew(ctx, name, content)
}

// putNew writes an object under the condition that there is none.
func (s *Store) putNew(ctx context.Context, name string, content []byte) error {
	var o minio.PutObjectOptions
	o.SetMatchETagExcept("*")
	return s.put(ctx, name, blob.Bytes(content), o)
}

// honours finds out, once, whether the server knows conditional writes: many ignore the header and overwrite.
func (s *Store) honours(ctx context.Context) (bool, error) {
	s.condition.Lock()
	defer s.condition.Unlock()
	if s.condition.known {
		return s.condition.honoured, nil
	}
	probe := ".probe/" + unique()
	if err := s.put(ctx, probe, blob.Bytes([]byte("1")), minio.PutObjectOptions{}); err != nil {
		return false, err
	}
	err := s.putNew(ctx, probe, []byte("2"))
	var answer minio.ErrorResponse
	refused := errors.Is(err, blob.ErrExists) || errors.As(err, &answer) && (answer.Code == "NotImplemented" || answer.StatusCode == http.StatusNotImplemented)
	if err != nil && !refused {
		return false, errors.Join(err, s.remove(ctx, probe))
	}
	s.condition.known, s.condition.honoured = true, errors.Is(err, blob.ErrExists)
	// What is left of a probe is an object of one byte that no listing shows.
	_ = s.remove(ctx, probe)
	return s.condition.honoured, nil
}

// claim takes a name by writing and listing only.
func (s *Store) claim(ctx context.Context, name string) error {
	if _, err := s.client.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{}); err == nil {
		return blob.ErrExists
	}
	dir, base := path.Split(name)
	claims := dir + ".claim/" + base + "/"
	mine := claims + unique()
	if err := s.put(ctx, mine, blob.Bytes([]byte("1")), minio.PutObjectOptions{}); err != nil {
		return errors.Join(err, s.remove(ctx, mine))
	}
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + claims, Recursive: true}) {
		if o.Err != nil {
			return errors.Join(kindOf(o.Err), s.remove(ctx, mine))
		}
		if o.Key != s.prefix+mine {
			return errors.Join(blob.ErrExists, s.remove(ctx, mine))
		}
	}
	return nil
}

func unique() string {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("open %s: %w: offset %d", name, blob.ErrPermanent, offset)
	}
	if length == 0 {
		_, err := s.client.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", name, kindOf(err))
		}
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	var o minio.GetObjectOptions
	if offset > 0 || length > 0 {
		last := "" // to the end
		if length > 0 {
			last = strconv.FormatInt(offset+min(length, math.MaxInt64-offset)-1, 10)
		}
		o.Set("Range", fmt.Sprintf("bytes=%d-%s", offset, last))
	}
	core := minio.Core{Client: s.client}
	r, info, _, err := core.GetObject(ctx, s.bucket, s.prefix+name, o)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, kindOf(err))
	}
	return &body{ReadCloser: r, name: name, left: info.Size}, nil
}

// body tells a connection that broke from the end.
type body struct {
	io.ReadCloser
	name string
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if errors.Is(err, io.EOF) && b.left > 0 {
		return n, fmt.Errorf("read %s: %w", b.name, io.ErrUnexpectedEOF)
	}
	return n, err
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]blob.Info, error) {
	if err := blob.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	var infos []blob.Info
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, kindOf(o.Err))
		}
		name := strings.TrimPrefix(o.Key, s.prefix)
		// Names that are none of ours (a folder made with a console ends in a slash) are not shown.
		if !blob.Hidden(name) && blob.CheckName(name) == nil {
			infos = append(infos, blob.Info{Name: name, SizeBytes: o.Size})
		}
	}
	return infos, nil
}

// Delete implements blob.Store. A name that was claimed stays taken for CreateExclusive no longer.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if err := s.remove(ctx, name); err != nil {
		return err
	}
	s.condition.Lock()
	claims := s.condition.known && !s.condition.honoured
	s.condition.Unlock()
	if !claims {
		return nil
	}
	dir, base := path.Split(name)
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + dir + ".claim/" + base + "/", Recursive: true}) {
		if o.Err != nil {
			return fmt.Errorf("delete %s: %w", name, kindOf(o.Err))
		}
		if err := s.remove(ctx, strings.TrimPrefix(o.Key, s.prefix)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) remove(ctx context.Context, name string) error {
	err := kindOf(s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}))
	if err != nil && !errors.Is(err, blob.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}
