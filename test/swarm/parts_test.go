//go:build swarm

package swarm

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/image"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// TestParts deploys stack.observability.yml and stack.s3.yml with the stack: the exporters are scraped, and checkpoints go to a server in the
// swarm that comes after those who need it. A job lives through a killed taskmanager and the bucket's server being away.
func TestParts(t *testing.T) {
	s := newStack(t, 1, append(exporters, gateway3(t))...)
	s.label(map[string][]string{"pi1": {"jobmanager", "taskmanager", "broker", "observability"}})
	passwords := s.secrets()
	for name, value := range map[string]string{"bramble_s3_access_key": testenv.S3AccessKey, "bramble_s3_secret_key": testenv.S3SecretKey} {
		command(t, "sh", "-c", "printf %s "+value+" | docker -H "+s.manager.host()+" secret create "+name+" -")
	}
	s.files = []string{"../../deploy/stack.observability.yml", "../../deploy/stack.s3.yml"}
	s.env = []string{"S3_ENDPOINT=http://s3:9000", "NODE_EXPORTER_IMAGE=test/node-exporter", "REDIS_EXPORTER_IMAGE=test/redis-exporter"}
	s.deploy("latest")
	s.says("jobmanager", "s3") // that it does not reach the server, which is not there yet
	s.manager.docker("service", "create", "-d", "--name", "s3", "--no-resolve-image", "--network", "bramble_bramble", "--endpoint-mode", "dnsrr",
		"--publish", "mode=host,target=9000,published=9000", "--mount", "type=volume,source=s3,target=/data", "--mount", "type=volume,source=s3-meta,target=/meta",
		"test/versitygw:latest")
	bucket, err := minio.New(s.nodes[0].address+":9000", &minio.Options{Creds: credentials.NewStaticV4(testenv.S3AccessKey, testenv.S3SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the bucket", func() bool {
		err := bucket.MakeBucket(t.Context(), "bramble", minio.MakeBucketOptions{})
		return err == nil || strings.Contains(err.Error(), "already")
	})
	s.up()

	rdb := redis.NewClient(&redis.Options{Addr: s.address("redis", 6379), Password: passwords["bramble_redis_password"]})
	defer rdb.Close()
	job := s.submit()
	h := openHouse(t, s.address("mosquitto", 1883), passwords["bramble_mqtt_password"])
	h.subscribed(rdb)
	h.begin()
	s.goesOn(rdb, "checkpoints in the bucket")
	await(t, "a checkpoint in the bucket", func() bool {
		for o := range bucket.ListObjects(t.Context(), "bramble", minio.ListObjectsOptions{Prefix: "checkpoints/", Recursive: true}) {
			if o.Err == nil && strings.Contains(o.Key, "/chk-") {
				return true
			}
		}
		return false
	})
	s.exported()
	s.killTaskManager()
	s.goesOn(rdb, "a taskmanager's container killed")
	s.manager.docker("service", "scale", "-d", "s3=0")
	await(t, "the end of the server", func() bool { _, err := bucket.ListBuckets(t.Context()); return err != nil })
	s.goesOn(rdb, "the bucket's server is away")
	s.manager.docker("service", "scale", "-d", "s3=1")
	await(t, "the server", func() bool { _, err := bucket.ListBuckets(t.Context()); return err == nil })
	h.complete(rdb)
	s.stop(job)
}

// exporters are what stack.observability.yml needs.
var exporters = []foreign{
	{name: "test/node-exporter", programs: []string{"prometheus-node-exporter"}, run: image.Run{User: "65534", Entrypoint: []string{"/bin/prometheus-node-exporter"}}},
	{name: "test/redis-exporter", programs: append([]string{"prometheus-redis-exporter:/redis_exporter"}, shell...), run: image.Run{User: "59000"}},
}

// gateway3 is a server of S3's protocol.
func gateway3(t *testing.T) foreign {
	return foreign{
		name: "test/versitygw", programs: []string{testenv.VersityGW(t) + ":/versitygw"}, dirs: []string{"data", "meta"},
		run: image.Run{Entrypoint: []string{
			"/versitygw", "--access", testenv.S3AccessKey, "--secret", testenv.S3SecretKey, "--port", ":9000", "posix", "--sidecar", "/meta", "/data",
		}},
	}
}

// says waits until a service has logged something.
func (s *stack) says(service, what string) string {
	s.t.Helper()
	var said string
	await(s.t, service+" to say "+what, func() bool {
		out, _ := try(s.t, "docker", "-H", s.manager.host(), "service", "logs", "--raw", "--tail", "200", "bramble_"+service)
		for line := range strings.Lines(out) {
			if strings.Contains(line, what) {
				said = strings.TrimSpace(line)
			}
		}
		return said != ""
	})
	s.t.Logf("%s: %s", service, said)
	return said
}

// exported looks whether Prometheus gets numbers of the machine, of Redis and of Mosquitto.
func (s *stack) exported() {
	s.t.Helper()
	for _, expr := range []string{`up{job="node"} == 1`, `node_memory_MemAvailable_bytes > 0`, `up{job="redis"} == 1`, `redis_up == 1`, `up{job="mosquitto"} == 1`} {
		await(s.t, "Prometheus: "+expr, func() bool { _, series := s.query(expr); return series > 0 })
	}
}
